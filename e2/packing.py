"""Packs several short texts into a row, masked from each other, so that little work is spent on padding.

Descriptions have 10 to 50 of CLIP's 77 tokens, tags about 4. In a causal tower each text may
stand anywhere in a row, provided it keeps its own positions and sees only itself: same embeddings, same gradients. (Packing is
usual for language models; Krell et al., 2021; for images NaViT, Dehghani et al., NeurIPS 2023.)
"""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from e2.attention import takes_segments
from e2.foreign import OpenClip
from e2.lookup import lookup
from e2.segments import has_kernel, segment_mask
from e2.texts import (
    LENGTH_STEP,
    CausalTower,
    Ends,
    MarkedEnds,
    PaddedEnds,
    causal_tower,
    cut_behind,
    encode_text,
    text_ends,
)

ROW_LENGTH = 80  # tokens per row, if no text is longer
ROW_STEP = 4  # numbers of rows are multiples of this, to limit the number of shapes


@dataclass(frozen=True)
class Packing:
    """Layout of texts in a table of a number of rows of one length."""

    starts: list[int]  # position of each text's first token, counted over all rows
    rows: int
    length: int


def pack(lengths: Sequence[int]) -> Packing:
    """Packs texts into rows by best-fit-decreasing: longest first, each into the row with the least room left."""
    length = max(ROW_LENGTH, -(-max(lengths) // LENGTH_STEP) * LENGTH_STEP)
    by_room: list[list[int]] = [[] for _ in range(length + 1)]  # free positions -> rows
    starts, rows = [0] * len(lengths), 0
    for text in sorted(range(len(lengths)), key=lambda text: -lengths[text]):
        room = next((room for room in range(lengths[text], length + 1) if by_room[room]), None)
        if room is None:
            room, rows = length, rows + 1
            by_room[room].append(rows - 1)
        row = by_room[room].pop()
        starts[text] = row * length + length - room
        by_room[room - lengths[text]].append(row)
    return Packing(starts, -(-rows // ROW_STEP) * ROW_STEP, length)


class PackedTexts(NamedTuple):
    """Texts laid out in rows for a causal tower."""

    tokens: Tensor  # (R, P) ids, 0 where nothing stands
    positions: Tensor  # (R, P) of each token in its text
    owners: Tensor  # (R, P) the text that a token belongs to, from 1; 0 where nothing stands
    ends: Tensor  # (U,) place of each text's last token, counted over all rows
    bounds: Tensor  # (N + 1,) int32 first place of each text and of what is free in a row, counted so; then of the end


class GroupedTexts(NamedTuple):
    """Texts of about one length together, for a tower that masks padding."""

    groups: list[Tensor]  # (u, L) each, cut to its longest
    order: Tensor  # (U,) row of each text in all groups


Layout = PackedTexts | GroupedTexts


def lay_out(ends: Ends, tokens: Tensor) -> Layout:
    """Lays texts out as the tower with this rule for their ends takes them: token ids (U, L).

    Reads the lengths: for tokens on a GPU that is a wait for it. The loader's workers do it for training.
    """
    return _packed(ends, tokens) if isinstance(ends, MarkedEnds) else _grouped(ends, tokens)


def _packed(ends: MarkedEnds, tokens: Tensor) -> PackedTexts:
    lengths = ends.lengths(tokens)
    packing = pack(lengths.tolist())
    starts = torch.tensor(packing.starts, device=tokens.device)
    texts, positions = (torch.arange(tokens.shape[1], device=tokens.device) < lengths[:, None]).nonzero(as_tuple=True)

    def table(values: Tensor) -> Tensor:
        """Lays out one value per token -> (rows, length), 0 elsewhere."""
        flat = values.new_zeros(packing.rows * packing.length)
        flat[starts[texts] + positions] = values
        return flat.view(packing.rows, packing.length)

    owners = table(texts + 1)
    return PackedTexts(table(tokens[texts, positions]), table(positions), owners, starts + lengths - 1, _bounds(owners))


def _bounds(owners: Tensor) -> Tensor:
    """(R, P) -> (N + 1,), the places at which the owner changes or a row begins or all ends."""
    changes = torch.ones(owners.numel() + 1, dtype=torch.bool, device=owners.device)
    changes[:-1].view_as(owners)[:, 1:] = owners[:, 1:] != owners[:, :-1]
    return changes.nonzero().flatten().int()


def _grouped(ends: PaddedEnds, tokens: Tensor) -> GroupedTexts:
    sizes = -(-ends.lengths(tokens) // LENGTH_STEP) * LENGTH_STEP
    places = [(sizes == size).nonzero().flatten() for size in sizes.unique()]
    return GroupedTexts([cut_behind(ends, tokens[rows]) for rows in places], torch.cat(places).argsort())


def encode_packed(clip: OpenClip, tokens: Tensor, layout: Layout | None = None) -> Tensor:
    """Token ids (B, L) -> (B, D) like ``clip.encode_text``; packed where the tower is causal, else by length where it masks
    padding.

    ``layout``: that of the tokens (:func:`lay_out`), found here if not given.
    """
    if layout is None:
        ends = text_ends(clip)
        if ends is None:
            return encode_text(clip, tokens)
        layout = lay_out(ends, tokens)
    if isinstance(layout, GroupedTexts):
        return encode_groups(clip, layout)
    tower = causal_tower(clip)
    assert tower is not None
    x = run_rows(tower, layout)  # (rows, length, width)
    return tower.project(x.flatten(0, 1)[layout.ends])


def encode_groups(clip: OpenClip, layout: GroupedTexts) -> Tensor:
    """Encodes each group by itself -> (U, D)."""
    with embedded_together(clip.text.transformer.get_input_embeddings(), layout.groups):
        encoded = torch.cat([encode_text(clip, group) for group in layout.groups])
    return lookup(encoded, layout.order)


@contextlib.contextmanager
def embedded_together(table: nn.Module, groups: Sequence[Tensor]) -> Iterator[None]:
    """Looks the tokens of all groups up at once: each lookup's gradient is as large as the whole vocabulary's table."""
    rows = table(torch.cat([group.flatten() for group in groups]))
    parts = iter(rows.split([group.numel() for group in groups]))
    hook = table.register_forward_hook(lambda _, inputs, output: next(parts).view_as(output))
    try:
        yield
    finally:
        hook.remove()


def run_rows(tower: CausalTower, texts: PackedTexts) -> Tensor:
    """Runs open_clip's steps on rows -> (R, P, width); a token sees its own owner's tokens up to itself."""
    parts = tower.parts
    dtype = parts.transformer.get_cast_dtype()
    x = parts.token_embedding(texts.tokens).to(dtype) + lookup(parts.positional_embedding, texts.positions).to(dtype)
    return parts.ln_final(parts.transformer(x, attn_mask=_mask(tower, texts, x)))


def _mask(tower: CausalTower, texts: PackedTexts, x: Tensor) -> Tensor:
    """Mask for the tower's attention to (R, P, width): in few numbers where a kernel takes these, else of each pair."""
    attention, length = tower.parts.transformer.resblocks[0].attn, texts.owners.shape[1]
    dtype = torch.get_autocast_dtype("cuda") if x.is_cuda and torch.is_autocast_enabled("cuda") else x.dtype
    plain = isinstance(attention, nn.MultiheadAttention)
    if takes_segments() and plain and has_kernel(x.device, dtype, x.shape[-1] // attention.num_heads):
        return segment_mask(texts.bounds, length)
    owners = texts.owners
    seen = (owners[:, :, None] == owners[:, None, :]).tril()  # (R, P, P); free positions see each other
    mask = torch.zeros(seen.shape, dtype=x.dtype, device=x.device).masked_fill(~seen, -torch.inf)
    return mask.repeat_interleave(attention.num_heads, dim=0)

"""Packs several short texts into a row, masked from each other, so that little work is spent on padding.

Descriptions have 10 to 50 of CLIP's 77 tokens, tags about 4. In a causal tower each text may
stand anywhere in a row, provided it keeps its own positions and sees only itself: same embeddings, same gradients. (Packing is
usual for language models; Krell et al., 2021; for images NaViT, Dehghani et al., NeurIPS 2023.)
"""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from e2.foreign import OpenClip
from e2.lookup import lookup
from e2.texts import LENGTH_STEP, CausalTower, causal_tower, cut_to_longest, encode_text, text_lengths, transformers_tower

ROW_LENGTH = 80  # tokens per row, if no text is longer
ROW_STEP = 4  # numbers of rows are multiples of this, to limit the number of shapes


@dataclass(frozen=True)
class Packing:
    """Layout of texts in a table of so many rows of a length."""

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


def encode_packed(clip: OpenClip, tokens: Tensor) -> Tensor:
    """Token ids (B, L) -> (B, D) like ``clip.encode_text``; packed where the tower is causal, else by length where it masks
    padding.
    """
    tower = causal_tower(clip)
    if tower is None:
        return encode_text(clip, tokens) if transformers_tower(clip) is None else encode_by_length(clip, tokens)
    ends = tower.ends(tokens)
    packing = pack((ends + 1).tolist())
    starts = torch.tensor(packing.starts, device=tokens.device)
    texts, positions = (torch.arange(tokens.shape[1], device=tokens.device) <= ends[:, None]).nonzero(as_tuple=True)

    def table(values: Tensor) -> Tensor:
        """Lays out one value per token -> (rows, length), 0 elsewhere."""
        flat = values.new_zeros(packing.rows * packing.length)
        flat[starts[texts] + positions] = values
        return flat.view(packing.rows, packing.length)

    x = run_rows(tower, table(tokens[texts, positions]), table(positions), table(texts + 1))  # (rows, length, width)
    return tower.project(x.flatten(0, 1)[starts + ends])


def encode_by_length(clip: OpenClip, tokens: Tensor) -> Tensor:
    """Encodes texts of about one length together: (B, L) -> (B, D)."""
    sizes = -(-text_lengths(clip, tokens) // LENGTH_STEP) * LENGTH_STEP
    places = [(sizes == size).nonzero().flatten() for size in sizes.unique()]
    groups = [cut_to_longest(clip, tokens[rows]) for rows in places]
    with embedded_together(clip.text.transformer.get_input_embeddings(), groups):
        encoded = torch.cat([encode_text(clip, group) for group in groups])
    return lookup(encoded, torch.cat(places).argsort())


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


def run_rows(tower: CausalTower, tokens: Tensor, positions: Tensor, owners: Tensor) -> Tensor:
    """Runs open_clip's steps on rows (R, P) -> (R, P, width); a token sees its own owner's tokens up to itself."""
    parts = tower.parts
    dtype = parts.transformer.get_cast_dtype()
    x = parts.token_embedding(tokens).to(dtype) + lookup(parts.positional_embedding, positions).to(dtype)
    seen = (owners[:, :, None] == owners[:, None, :]).tril()  # (R, P, P); free positions see each other
    mask = torch.zeros(seen.shape, dtype=dtype, device=x.device).masked_fill(~seen, -torch.inf)
    heads = parts.transformer.resblocks[0].attn.num_heads
    return parts.ln_final(parts.transformer(x, attn_mask=mask.repeat_interleave(heads, dim=0)))

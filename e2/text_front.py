"""The frozen part of a text tower, which runs once per text: the whole tower, or its first blocks.

A front makes rows of numbers out of a text, which can be kept (``e2.frozen_texts``), and the rest of the tower goes on from
them: with gradients, and in whatever rows or groups the texts of a batch are laid out.
"""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from e2.activations import half_precision
from e2.foreign import OpenClip
from e2.packing import Layout, PackedTexts, encode_packed, lay_out
from e2.texts import cut_to_longest, encode_text, text_ends, transformers_tower

LAYERED = ("bert", "roberta", "xlm-roberta")  # kinds of Hugging Face's whose encoder is a stack of blocks and nothing else


@dataclass(frozen=True)
class TextRows:
    """Rows of several texts, one text after another.

    Attributes:
        rows: (T, W).
        lengths: (U,) rows of each text.
    """

    rows: Tensor
    lengths: Tensor

    def to(self, device: torch.device | str) -> "TextRows":
        """Moves it."""
        return TextRows(self.rows.to(device), self.lengths.to(device))


class TextFront(Protocol):
    """The part of a text tower that runs once per text."""

    @property
    def clip(self) -> OpenClip:
        """The model."""

    @property
    def name(self) -> str:
        """Name of what is kept."""

    @property
    def lays_out(self) -> bool:
        """Tells whether the rest of the tower takes texts laid out."""

    def run(self, tokens: Tensor) -> TextRows:
        """Token ids (u, L) -> what the part makes of each text."""

    def finish(self, tokens: Tensor, kept: TextRows, layout: Layout | None) -> Tensor:
        """Goes on from kept rows of the texts ``tokens`` (u, L), laid out if they are already -> (u, D)."""


def text_front(clip: OpenClip) -> TextFront | None:
    """The frozen part of a model's text tower; None if the tower learns from its first layer on, or is of a kind that cannot
    be entered between two blocks.
    """
    if _is_frozen(clip):
        return WholeTower(clip)
    blocks = _frozen_blocks(clip)
    return FirstBlocks(clip, blocks) if blocks else None


@dataclass(frozen=True)
class WholeTower:
    """A text tower of which at most the projection behind a transformer of Hugging Face's learns: one row per text."""

    clip: OpenClip
    name: str = "texts"
    lays_out: bool = False

    @torch.no_grad()
    def run(self, tokens: Tensor) -> TextRows:
        rows = self._embeddings(cut_to_longest(self.clip, tokens)).float()
        return TextRows(rows, torch.ones_like(tokens[:, 0]))

    def finish(self, tokens: Tensor, kept: TextRows, layout: Layout | None) -> Tensor:
        text = transformers_tower(self.clip)
        return kept.rows if text is None else text.proj(kept.rows)

    def _embeddings(self, tokens: Tensor) -> Tensor:
        text = transformers_tower(self.clip)
        if text is None:
            return encode_text(self.clip, tokens)
        mask = (tokens != text.config.pad_token_id).long()
        return text.pooler(text.transformer(input_ids=tokens, attention_mask=mask), mask)


@dataclass(frozen=True)
class FirstBlocks:
    """Embedding of tokens and first blocks of a text tower: a row per token, without those that the tower does not see."""

    clip: OpenClip
    blocks: int
    lays_out: bool = True

    @property
    def name(self) -> str:
        return f"texts-{self.blocks}"

    @torch.no_grad()
    def run(self, tokens: Tensor) -> TextRows:
        tokens, ends = cut_to_longest(self.clip, tokens), text_ends(self.clip)
        with _ended_behind(self.clip, self.blocks) as states:
            encode_text(self.clip, tokens)
        rows = half_precision(states.pop())  # (u, L, W)
        lengths = torch.full_like(tokens[:, 0], rows.shape[1]) if ends is None else ends.lengths(tokens)
        return TextRows(rows[torch.arange(rows.shape[1], device=rows.device) < lengths[:, None]], lengths)

    def finish(self, tokens: Tensor, kept: TextRows, layout: Layout | None) -> Tensor:
        ends = text_ends(self.clip)
        if layout is None and ends is not None:
            layout = lay_out(ends, tokens)
        kept = TextRows(kept.rows.to(self.clip.logit_scale.dtype), kept.lengths)
        with _resumed_behind(self.clip, self.blocks, _laid_out(kept, layout)):
            return encode_packed(self.clip, tokens, layout)


def _laid_out(kept: TextRows, layout: Layout | None) -> list[Tensor]:
    """Kept rows as the tower's blocks get them, zeros where there is no token: (R, P, W) of packed texts, (u, L, W) of each
    group of texts of a length; without a layout all texts have the same length.
    """
    starts = kept.lengths.cumsum(0) - kept.lengths

    def at(texts: Tensor, positions: Tensor) -> Tensor:
        inside = (texts >= 0) & (positions < kept.lengths[texts])
        return kept.rows[(starts[texts] + positions).where(inside, 0)] * inside.unsqueeze(-1)

    if layout is None:
        return [kept.rows.unflatten(0, (len(kept.lengths), -1))]
    if isinstance(layout, PackedTexts):
        return [at(layout.owners - 1, layout.positions)]
    parts = layout.order.argsort().split([len(group) for group in layout.groups])
    positions = [torch.arange(group.shape[1], device=starts.device) for group in layout.groups]
    return [at(part[:, None], along[None]) for part, along in zip(parts, positions, strict=True)]


@dataclass(frozen=True)
class Stack:
    """The blocks of a text tower: a module that takes the embedded tokens (B, L, W) first, and where it has the blocks.

    Attributes:
        module: which runs the blocks.
        name: of its list of blocks.
        before: weights that are used in front of the blocks.
    """

    module: nn.Module
    name: str
    before: list[nn.Parameter]

    @property
    def blocks(self) -> nn.ModuleList:
        return getattr(self.module, self.name)

    @contextlib.contextmanager
    def only(self, part: slice) -> Iterator[None]:
        """Lets it run a part of the blocks."""
        blocks = self.blocks
        setattr(self.module, self.name, blocks[part])
        try:
            yield
        finally:
            setattr(self.module, self.name, blocks)


def _stack(clip: OpenClip) -> Stack | None:
    """The blocks of a text tower of open_clip's, or of a known kind of Hugging Face's."""
    if (text := transformers_tower(clip)) is not None:
        if text.config.model_type not in LAYERED:
            return None
        return Stack(text.transformer.encoder, "layer", list(text.transformer.embeddings.parameters()))
    parts: Any = getattr(clip, "text", clip)
    tables = (parts.token_embedding.weight, parts.positional_embedding, getattr(parts, "cls_emb", None))
    return Stack(parts.transformer, "resblocks", [table for table in tables if table is not None])


def _is_frozen(clip: OpenClip) -> bool:
    """True if no text's embedding changes in training, but for the projection behind a transformer of Hugging Face's."""
    if (text := transformers_tower(clip)) is not None:
        return not any(p.requires_grad for p in text.transformer.parameters())
    image = {id(p) for p in clip.visual.parameters()}
    learning = (name for name, p in clip.named_parameters() if p.requires_grad and id(p) not in image)
    return all(name in ("logit_scale", "logit_bias") for name in learning)


def _frozen_blocks(clip: OpenClip) -> int:
    """Number of first blocks that do not learn, nor does anything in front of them; open_clip asks the last one for its
    type, so that it never counts."""
    stack = _stack(clip)
    if stack is None or any(p.requires_grad for p in stack.before):
        return 0
    learns = [any(p.requires_grad for p in block.parameters()) for block in stack.blocks]
    return [*learns[:-1], True].index(True)


@contextlib.contextmanager
def _ended_behind(clip: OpenClip, blocks: int) -> Iterator[list[Tensor]]:
    """Lets a text tower run its first blocks alone, and yields a list that takes what they give, (B, L, W) each time."""
    stack, given = _stack(clip), list[Tensor]()
    assert stack is not None
    hook = stack.module.register_forward_hook(lambda module, inputs, output: given.append(_hidden(output)))
    try:
        with stack.only(slice(blocks)):
            yield given
    finally:
        hook.remove()


@contextlib.contextmanager
def _resumed_behind(clip: OpenClip, blocks: int, states: Sequence[Tensor]) -> Iterator[None]:
    """Lets a text tower skip its first blocks and go on from ``states``, (B, L, W) each time it runs."""
    stack, following = _stack(clip), iter(states)
    assert stack is not None
    hook = stack.module.register_forward_pre_hook(lambda module, inputs: (next(following), *inputs[1:]))
    try:
        with stack.only(slice(blocks, None)):
            yield
    finally:
        hook.remove()


def _hidden(output: Any) -> Tensor:
    """Hidden states among what a stack of blocks returns."""
    return output if isinstance(output, Tensor) else output[0]

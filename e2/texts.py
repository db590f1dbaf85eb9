"""Texts: tokenising them once, cutting them where nothing is lost, and encoding them with a text tower.

In a causal tower that reads its answer at the end-of-text token, no position behind that token can change the answer. So a
batch may be cut to its longest text: same embeddings, same gradients, a fraction of the work (a product text has some 20
tokens of CLIP's 77).
"""

from collections.abc import Sequence

import open_clip
import torch
from open_clip.transformer import text_global_pool
from torch import Tensor, nn

LENGTH_STEP, ROW_STEP = 8, 64


def can_cut(clip: nn.Module) -> bool:
    """Whether cutting a batch to its longest text provably leaves the embeddings as they are."""
    return isinstance(clip, open_clip.CLIP) and clip.attn_mask is not None and clip.text_pool_type in ("argmax", "eos")


def cut_to_longest(clip: nn.Module, tokens: Tensor) -> Tensor:
    """(B, L) -> (B, longest text of the batch), or unchanged where the tower looks at padding.

    The length is rounded up to a multiple of 8: kernels are prepared, and kept in memory, once per shape.
    """
    if not can_cut(clip):
        return tokens
    is_end = tokens == clip.text_eos_id if clip.text_pool_type == "eos" else tokens
    ends = is_end.int().argmax(dim=-1)  # (B,) the place the tower reads its answer at
    longest = int(ends.max()) + 1
    return tokens[:, : -(-longest // LENGTH_STEP) * LENGTH_STEP]


def pad_rows(tokens: Tensor) -> Tensor:
    """Repeats the last text until the number of rows is a multiple of 64, again to meet few shapes."""
    missing = -len(tokens) % ROW_STEP
    return torch.cat([tokens, tokens[-1:].expand(missing, -1)])


def encode_text(clip: nn.Module, tokens: Tensor) -> Tensor:
    """Token ids (B, L) -> (B, D), like ``clip.encode_text`` but also for native towers at lengths below the context's."""
    length = tokens.shape[1]
    if not isinstance(clip, open_clip.CLIP) or length == clip.context_length:
        return clip.encode_text(tokens)
    # open_clip.CLIP.encode_text insists on the full length; these are its steps with position table and mask cut.
    dtype = clip.transformer.get_cast_dtype()
    x = clip.token_embedding(tokens).to(dtype) + clip.positional_embedding[:length].to(dtype)  # (B, L, width)
    mask = None if clip.attn_mask is None else clip.attn_mask[:length, :length]
    x = clip.ln_final(clip.transformer(x, attn_mask=mask))
    x = text_global_pool(x, tokens, clip.text_pool_type, eos_token_id=clip.text_eos_id)
    if clip.text_projection is None:
        return x
    return clip.text_projection(x) if isinstance(clip.text_projection, nn.Linear) else x @ clip.text_projection


class TextTable:
    """Unique texts of a batch, each once, with the place of every text that was asked for."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self._places: dict[str, int] = {}

    def place(self, text: str | None) -> int:
        """Index of the text in ``texts``; -1 for a missing one."""
        if text is None:
            return -1
        if text not in self._places:
            self._places[text] = len(self.texts)
            self.texts.append(text)
        return self._places[text]

    def places(self, texts: Sequence[str | None]) -> Tensor:
        return torch.tensor([self.place(text) for text in texts], dtype=torch.long)

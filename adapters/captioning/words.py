"""Limits on the number of words of a caption, for decoders that write pieces of words."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class WordMarks:
    """Tokens of a vocabulary of V that tell words apart.

    Attributes:
        counted: ids of which every word has exactly one: pieces that begin a word, or pieces that end one.
        last: True if these end a word, so that any token after it begins another.
        first: True if a text's first piece begins a word without being marked so.
    """

    counted: tuple[int, ...]
    last: bool = False
    first: bool = False


class WordLimits:
    """Bars the stop token below ``least`` words, and whatever begins a further word at ``most``.

    Args:
        marks: of the tokenizer.
        size: V, tokens of the model.
        stop_id: the token that ends a text.
        least, most: numbers of words; None: no limit.
        begun: words that the text has before the first token.
        device: of the model.
    """

    def __init__(
        self, marks: WordMarks, size: int, stop_id: int, *, least: int, most: int | None, begun: int, device: torch.device
    ):
        self.counted = torch.zeros(size, dtype=torch.bool, device=device)
        self.counted[list(marks.counted)] = True
        self.further = torch.ones_like(self.counted) if marks.last else self.counted.clone()
        self.further[stop_id] = False
        self.stop_id, self.least, self.most = stop_id, least, most
        self.begun, self.first = begun, marks.first and not begun

    def barred(self, tokens: Tensor) -> Tensor:
        """Tokens that may not follow: (R, T) ids so far -> (R, V) True where barred."""
        counted = self.counted[tokens]
        words = self.begun + counted.sum(dim=1)
        if self.first:
            words = words + (~counted[:, :1]).sum(dim=1)
        barred = torch.zeros(len(tokens), len(self.counted), dtype=torch.bool, device=tokens.device)
        barred[:, self.stop_id] = words < self.least
        if self.most is not None:
            barred |= (words >= self.most)[:, None] & self.further
        return barred

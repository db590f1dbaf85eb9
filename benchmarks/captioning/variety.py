"""Measures variety, length and repetition of captions."""

from collections import Counter
from collections.abc import Sequence

import numpy as np


def words_and_repetition(tokens: Sequence[str]) -> np.ndarray:
    """(N, 2) per tokenized caption: number of words; 1 if it repeats three words in a row, or one word at once."""
    return np.array([(len(words), _repeats(words)) for words in map(str.split, tokens)], dtype=float).reshape(-1, 2)


def distinct(tokens: Sequence[str], n: int) -> float:
    """Distinct-n (Li et al., NAACL 2016): distinct n-grams among all n-grams of all captions, percent; 0 without any."""
    counts = Counter(gram for text in tokens for gram in _grams(text.split(), n))
    return 100 * len(counts) / max(1, counts.total())


def _repeats(words: list[str]) -> bool:
    grams = _grams(words, 3)
    return len(set(grams)) < len(grams) or any(a == b for a, b in zip(words, words[1:], strict=False))


def _grams(words: list[str], n: int) -> list[tuple[str, ...]]:
    return list(zip(*(words[start:] for start in range(n)), strict=False))

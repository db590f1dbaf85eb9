"""Quick checks of a column of strings, on its raw bytes, that spare most columns the slow ones."""

import functools
from collections.abc import Iterable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

BLANKS_AND_BEYOND = bytes([*range(1, 33), *range(128, 256)])  # ASCII blanks, and bytes of letters that may be blanks


def edges(texts: pa.StringArray) -> tuple[np.ndarray, np.ndarray]:
    """First and last byte of each string, 0 if empty; undefined for nulls."""
    offsets, data = _bytes_of(texts)
    starts, ends = offsets[:-1], offsets[1:]
    if not len(data):
        return np.zeros(len(texts), np.uint8), np.zeros(len(texts), np.uint8)
    filled = ends > starts
    return data.take(starts, mode="clip") * filled, data.take(ends - 1, mode="wrap") * filled


def among(found: np.ndarray, letters: bytes) -> np.ndarray:
    """Mask of the bytes that are among some letters."""
    return _table(letters)[found]


@functools.lru_cache(maxsize=64)
def _table(letters: bytes) -> np.ndarray:
    table = np.zeros(256, bool)
    table[list(letters)] = True
    return table


def holds(texts: pa.StringArray, letters: str) -> bool:
    """True if one of some ASCII letters may occur anywhere in a column."""
    offsets, data = _bytes_of(texts)
    everything = data[offsets[0] : offsets[-1]].tobytes() if len(texts) else b""
    return any(letter.encode() in everything for letter in letters)


def trimmed(texts: pa.StringArray) -> pa.StringArray:
    """Strips blanks; strings left empty become null."""
    first, last = edges(texts)
    if among(first, BLANKS_AND_BEYOND).any() or among(last, BLANKS_AND_BEYOND).any():
        texts = pc.utf8_trim_whitespace(texts)
    elif first.all():
        return texts
    return pc.if_else(pc.equal(texts, ""), pa.scalar(None, pa.string()), texts)


def among_words(texts: pa.StringArray, words: Iterable[str]) -> np.ndarray:
    """Mask of the strings that are among some words, ignoring case."""
    words = [word.lower() for word in words if word]
    found = np.zeros(len(texts), bool)
    if not words:
        return found
    first, last = edges(texts)
    spellings = [spelling.encode() for word in words for spelling in (word, word.upper())]
    wide = bytes(range(128, 256))  # other letters may have these as their lower case
    near = among(first, bytes(word[0] for word in spellings) + wide) & among(
        last, bytes(word[-1] for word in spellings) + wide
    )
    near &= np.asarray(pc.fill_null(pc.less_equal(pc.binary_length(texts), 4 * max(map(len, words))), False))
    if near.any():
        places = np.flatnonzero(near)
        lower = pc.utf8_lower(texts.take(pa.array(places)))
        found[places] = np.asarray(pc.is_in(lower, pa.array(words, pa.string())))
    return found


def _bytes_of(texts: pa.StringArray) -> tuple[np.ndarray, np.ndarray]:
    """Start of each string in the joint bytes, with the end of the last; and these bytes."""
    _, offsets, data = texts.buffers()
    found = (
        np.frombuffer(offsets, np.int32, len(texts) + 1, 4 * texts.offset) if offsets else np.zeros(len(texts) + 1, np.int32)
    )
    return found, np.frombuffer(data, np.uint8) if data else np.zeros(0, np.uint8)

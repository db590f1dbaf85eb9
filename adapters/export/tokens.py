"""Tokenises texts as the model in this folder was trained. Needs only ftfy, NumPy and tokenizers.

    from tokens import tokens

    tokens(["a red dress"])  # int64 (1, length)

`tokenizer.json` alone is for other languages. It repairs texts partly, but neither broken encodings (Ã© for é) nor all HTML
escapes.
"""

import functools
import html
from collections.abc import Sequence
from pathlib import Path

import ftfy
import numpy as np
from tokenizers import Tokenizer, normalizers

FILE = Path(__file__).parent / "tokenizer.json"


def tokens(texts: Sequence[str], file: Path = FILE) -> np.ndarray:
    """Tokenises texts, cut and padded: (N, length)."""
    return np.array([text.ids for text in _loaded(file).encode_batch([clean(text) for text in texts])], np.int64)


def clean(text: str) -> str:
    """Cleans a text as CLIP's tokenizer does: repaired, unescaped, single spaces, lower case."""
    return " ".join(html.unescape(html.unescape(ftfy.fix_text(text))).split()).lower()


def load(file: Path) -> Tokenizer:
    """Loads the tokenizer for clean texts."""
    made = Tokenizer.from_file(str(file))
    made.normalizer = normalizers.Sequence([])  # its own repairs, which `clean` has done
    return made


_loaded = functools.cache(load)

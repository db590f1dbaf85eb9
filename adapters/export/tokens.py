"""From texts to the ids that the model in this folder was trained on. Needs ftfy, NumPy and tokenizers only.

    from tokens import tokens

    tokens(["a red dress"])  # int64 (1, length)

`tokenizer.json` without this file is for other languages. It repairs what it can of a text by itself, but neither broken
encodings (Ã© for é) nor all of HTML's escapes.
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
    """(N, length), cut and padded."""
    return np.array([text.ids for text in _loaded(file).encode_batch([clean(text) for text in texts])], np.int64)


def clean(text: str) -> str:
    """The text repaired, its escapes read, single spaces, lower case: what CLIP's tokenizer begins with."""
    return " ".join(html.unescape(html.unescape(ftfy.fix_text(text))).split()).lower()


def load(file: Path) -> Tokenizer:
    """The tokenizer for texts that are clean."""
    made = Tokenizer.from_file(str(file))
    made.normalizer = normalizers.Sequence([])  # its own repairs, which `clean` has done
    return made


_loaded = functools.cache(load)

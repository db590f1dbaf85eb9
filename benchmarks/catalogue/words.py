"""Looks at a catalogue's texts and tags without any model."""

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

from e2.data.product import values_of
from e2.spelling import spelling
from e2.texts import cut_texts

LINE_BREAK = re.compile(r"[\n\r\x0b\x0c\x85\u2028\u2029]")
BLOCK = 1024  # texts tokenized at a time


def text_key(text: str) -> str:
    """Key that is equal for texts that differ only in case and spaces."""
    return " ".join(text.split()).casefold()


def text_faults(texts: Sequence[Sequence[str]], tokenizer: Any) -> dict[str, list[int]]:
    """Finds the products with a text that spans lines, and with one that the tokenizer cuts.

    Args:
        texts: of each product.
        tokenizer: of a model; has ``context_length``.
    """
    flat = [(product, text) for product, own in enumerate(texts) for text in own]
    cut: dict[int, None] = {}
    for start in range(0, len(flat), BLOCK):
        block = flat[start : start + BLOCK]
        flags = cut_texts(tokenizer, [text for _, text in block])
        cut |= {product: None for (product, _), flag in zip(block, flags, strict=True) if flag}
    spanning = dict.fromkeys(product for product, text in flat if LINE_BREAK.search(text))
    return {"spans_lines": list(spanning), "cut": list(cut)}


def tag_faults(tags: Sequence[str | None]) -> dict[str, Any]:
    """Describes the values of one entity: coverage, spellings of one value, whether constant or all distinct.

    Args:
        tags: of each product, maybe of several values; None: missing.
    """
    given = [tag for tag in tags if tag is not None]
    counts = Counter(value for tag in given for value in values_of(tag))
    spelled: dict[str, dict[str, int]] = defaultdict(dict)
    for value, count in counts.most_common():
        spelled[spelling(value)][value] = count
    products = len(given)
    return {
        "products": products,
        "values": len(counts),
        "constant": len(counts) == 1 and products > 1,
        "all_distinct": len(counts) == counts.total() > 1,
        "spellings": sorted((ways for ways in spelled.values() if len(ways) > 1), key=lambda ways: -sum(ways.values())),
    }

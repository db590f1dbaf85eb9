"""Tells sizes, prices, other numbers and links from the values that a photo shows."""

import re
from collections.abc import Iterable, Mapping
from itertools import islice

MOSTLY = 0.5  # share of a tag's values that must be sizes or numbers
LINKS = ("http://", "https://")
LOOKED_AT = 200  # values of a tag, the most frequent ones
_UNIT = r"eu|uk|us|fr|it|de|cm|mm|in|inch|inches|kg|g|ml|years?|yrs?|y|months?|mths?|t|[a-k]{1,2}|%|€|\$|£|eur|usd|gbp"
_ONE = rf"(?:(?:eu|uk|us|fr|it|de|w|l)\s?|[€$£]\s?)?(?:-?\d+(?:[.,]\d+)?(?:\s?(?:{_UNIT}))?|\d{{0,2}}x*[sml])"
_SIZE = re.compile(rf"{_ONE}(?:(?:\s?[-–/x]\s?|\s?to\s|\s){_ONE})*|one\s?size|free\s?size", re.IGNORECASE)


def is_size(value: str) -> bool:
    """True for a number or a size.

    >>> [value for value in ("36", "10.5", "XL", "EU 42", "W32 L34", "2-3 years", "34B", "Red", "5 pockets") if is_size(value)]
    ['36', '10.5', 'XL', 'EU 42', 'W32 L34', '2-3 years', '34B']
    """
    return _SIZE.fullmatch(value.strip()) is not None


def size_tags(vocabulary: Mapping[str, Iterable[str]]) -> list[str]:
    """Tags most of whose values are sizes or numbers: no photo shows them.

    >>> size_tags({"brand": ["Nike", "361"], "size": ["S", "36", "one size"], "price": ["19.99", "on request", "5"]})
    ['size', 'price']
    """
    values = {entity: list(islice(filter(None, found), LOOKED_AT)) for entity, found in vocabulary.items()}
    return [entity for entity, found in values.items() if found and sum(map(is_size, found)) > MOSTLY * len(found)]


def shown_in_photos(vocabulary: Mapping[str, Iterable[str]]) -> dict[str, list[str]]:
    """Leaves out the `size_tags` of a vocabulary, tags of links, and tags without a value.

    >>> shown_in_photos({"size": ["S", "36"], "colour": ["red", ""], "page": ["sold out", "https://shop.example/1"]})
    {'colour': ['red']}
    """
    sizes = size_tags(vocabulary)
    words = {entity: [value for value in found if value] for entity, found in vocabulary.items() if entity not in sizes}
    return {entity: values for entity, values in words.items() if values and not any(v.startswith(LINKS) for v in values)}

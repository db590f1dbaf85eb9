"""Vocabulary of fashion, kept in ``fashion_words.yaml``: kinds of attributes, their values, synonyms and opposites."""

from importlib.resources import files
from typing import Any

import yaml


def read_words(name: str) -> dict[str, Any]:
    """Reads a file of words beside this module."""
    return yaml.safe_load((files(__package__) / name).read_text(encoding="utf-8"))


_READ = read_words("fashion_words.yaml")
WORDS: dict[str, str] = _READ["words"]
OPPOSITES: dict[str, str] = dict(pair.split(" = ") for pair in _READ["opposites"].split(", "))
ENTITIES: dict[str, list[str]] = _READ["entities"]
PROPERTIES: dict[str, str] = _READ["properties"]
NOUNS = frozenset(_READ["nouns"].split())
ADDED = ("part", "motif")  # kinds of which a product may have several: none replaces another
PLACED_BEHIND = (*ADDED, "sleeves", "neckline")  # kinds named after the garment: "Shirt with a hood"
PLAIN, ANY_PATTERN = "plain", ("patterned", "printed")  # no pattern; all patterns
# wording that a text encoder understands better than "without sleeves"
LEAVES = {"sleeves": "sleeveless", "straps": "strapless"}
HOLDS = {"hood": {"hoodie": "sweatshirt"}}  # garments defined by the part, and what they are without it

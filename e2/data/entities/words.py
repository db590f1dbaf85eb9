"""Finds the entity that a value belongs to, by the word lists that ship with the suite."""

import functools
import re
from importlib import resources
from typing import NamedTuple

import yaml

from e2.data.entities.rules import key_of

COLOUR, MATERIAL = "colour", "material"
SHADES = re.compile(r"(?:(?:light|dark|deep|pale|bright|dusty|soft|hot|neon|pastel|medium|washed) )+")


class Meaning(NamedTuple):
    """Entity and value that a word means."""

    entity: str
    value: str


@functools.cache
def word_lists() -> dict[str, dict[str, list[str]]]:
    """Entity -> value -> its other spellings."""
    return yaml.safe_load(resources.files(__package__).joinpath("words.yaml").read_text(encoding="utf-8"))


@functools.cache
def _meanings() -> dict[str, Meaning]:
    return {
        key_of(spelling): Meaning(entity, value)
        for entity, values in reversed(word_lists().items())
        for value, others in values.items()
        for spelling in (*others, value)
    }


def meaning_of(text: str) -> Meaning | None:
    """Meaning of a value; shades of a colour mean the colour.

    >>> meaning_of("Dark-Blue"), meaning_of("leopard print").value, meaning_of("Ship from USA")
    (Meaning(entity='colour', value='blue'), 'animal print', None)
    """
    key = key_of(text)
    found = _meanings().get(key)
    if found is None and (shade := SHADES.match(key)):
        found = _meanings().get(key[shade.end() :])
        return found if found and found.entity == COLOUR else None
    return found

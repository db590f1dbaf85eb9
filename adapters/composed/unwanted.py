"""Keeps what a wish rejects out of the results: by tags and descriptions if they tell, else by the score."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from e2.adapters.composed.base import Composed
from e2.adapters.composed.fashion_words import WORDS
from e2.adapters.composed.lexicon import Lexicon, Value, sort_of
from e2.adapters.composed.rule_editor import RuleEditor, covers
from e2.adapters.unit_vectors import normalised
from e2.data.product import values_of as values_of_tag


@dataclass(frozen=True)
class Unwanted:
    """Values that results should not have."""

    values: tuple[Value, ...]
    lexicon: Lexicon  # knows the catalogue's values

    def __bool__(self) -> bool:
        return bool(self.values)

    @property
    def names(self) -> list[str]:
        return list(dict.fromkeys(value.name for value in self.values))

    def in_product(self, tags: Mapping[str, str], description: str = "") -> bool:
        """True if a product has any of them, by its tags or, without such a tag, by its description."""
        return self.among(values_of(self.lexicon, tags, description))

    def among(self, values: Iterable[Value]) -> bool:
        """True if any of them is among the values of a product."""
        return any(covers(value, other) for other in values for value in self.values)

    def of_tags(self, vocabulary: Mapping[str, Iterable[str]]) -> dict[str, list[str]]:
        """Entity -> unwanted values of a catalogue: with grey also its dark grey."""
        found = {
            entity: [n for n in names if any(covers(value, self.lexicon.named(entity, n)) for value in self.values)]
            for entity, names in vocabulary.items()
        }
        return {entity: names for entity, names in found.items() if names}

    def avoided(
        self, queries: np.ndarray, encode: Callable[[list[str]], np.ndarray], entities: Iterable[str] = ()
    ) -> np.ndarray:
        """Mirrors queries (N, D) that lean towards a value, so that what looks like it scores as low as it scored high.

        A value's direction is its text's minus the mean over words of its kind.

        Args:
            encode: texts -> (N, D).
            entities: tagged in every product, so that their values need no mirroring.
        """
        for value in self.values:
            if value.kind in entities:
                continue
            words = [group.split(" = ")[0] for group in WORDS.get(sort_of(value), "").split(", ") if group]
            texts = encode([value.name, *words])
            direction = normalised(texts[0] - texts.mean(axis=0))
            leaning = np.maximum(queries @ direction, 0)[:, None]
            queries = normalised(queries - 2 * leaning * direction)
        return queries


def values_of(lexicon: Lexicon, tags: Mapping[str, str], description: str) -> list[Value]:
    """Values of a product by its tags or, without such a tag, by its description."""
    known = [lexicon.named(entity, name) for entity, tag in tags.items() for name in values_of_tag(tag)]
    return known + [mention.value for mention in lexicon.mentions(description) if mention.kind not in tags]


def unwanted_of(composed: Composed, wish: str, editor: RuleEditor) -> Unwanted:
    """Unwanted values found by a method, or else by the rules."""
    told = composed.rewritings[0].unwanted if composed.rewritings else ()
    return Unwanted(told or editor.read(wish).unwanted, editor.lexicon)

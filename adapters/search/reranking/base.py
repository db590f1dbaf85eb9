"""Interface of re-rankers, and the order that their scores make."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

Ranked = TypeVar("Ranked")


@dataclass(frozen=True)
class RerankQuery:
    """A search as a shopper would put it: words, a photo, or a photo and a wish."""

    words: str = ""
    photo: bytes | None = None  # a JPEG
    kept: Mapping[str, str] = field(default_factory=dict)  # tags of the photo's product that a wish leaves as they are


@dataclass(frozen=True)
class RerankHit:
    """A hit to be judged."""

    caption: str
    tags: Mapping[str, str]
    photo: bytes  # the index's thumbnail, a JPEG

    @property
    def text(self) -> str:
        """The description, and the tags in words."""
        return "; ".join([self.caption, *(f"{entity}: {value}" for entity, value in self.tags.items())])


@dataclass(frozen=True)
class HitScores:
    """Scores of hits, higher is better; None where there is none."""

    values: Sequence[float | None]
    reasons: Counter[str] = field(default_factory=Counter)  # why there is none -> number of hits

    def told(self, name: str) -> str:
        """Says how many hits were judged.

        Example:
            >>> HitScores([1.0, None], Counter({"no answer in time": 1})).told("judge")
            '1 of 2 hits by judge (1: no answer in time)'
        """
        judged = sum(value is not None for value in self.values)
        why = "; ".join(f"{count}: {reason}" for reason, count in self.reasons.most_common())
        return f"{judged} of {len(self.values)} hits by {name}" + (f" ({why})" if why else "")


class Reranker(Protocol):
    """Scores the first hits of a search. Thread-safe."""

    @property
    def name(self) -> str: ...

    @property
    def top(self) -> int:
        """Number of hits that are looked at."""

    def scores(self, question: RerankQuery, candidates: Sequence[RerankHit]) -> HitScores: ...


def reordered(items: Sequence[Ranked], scores: Sequence[float | None]) -> list[Ranked]:
    """Sorts items by their scores, equal ones as they were; those without a score keep their places.

    Example:
        >>> reordered(["a", "b", "c", "d"], [1.0, None, 3.0, 1.0])
        ['c', 'b', 'a', 'd']
    """
    places = [place for place, score in enumerate(scores) if score is not None]
    best = sorted(places, key=lambda place: -(scores[place] or 0.0))
    found = list(items)
    for place, chosen in zip(places, best, strict=True):
        found[place] = items[chosen]
    return found

"""Interface of re-rankers, and the order that their scores make."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, TypeVar

Ranked = TypeVar("Ranked")


@dataclass(frozen=True)
class RerankQuery:
    """A search as a shopper would put it: words, photos, or photos and a wish."""

    words: str = ""
    photos: Sequence[bytes] = ()  # JPEGs
    unlike: Sequence[bytes] = ()  # JPEGs of what is not looked for
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
            >>> HitScores([1.0, None]).told("judge")
            '1 of 2 hits by judge'
        """
        judged = sum(value is not None for value in self.values)
        return f"{judged} of {len(self.values)} hits by {name}"

    @property
    def why(self) -> str:
        """Says why hits were not judged; empty if all were.

        Example:
            >>> HitScores([1.0, None], Counter({"no answer in time": 1})).why
            '1: no answer in time'
        """
        return "; ".join(f"{count}: {reason}" for reason, count in self.reasons.most_common())


class Reranker(Protocol):
    """Scores the first hits of a search. Thread-safe."""

    @property
    def name(self) -> str:
        """The model's, for everyone to see: no address or folder."""

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


def shown_name(model: str) -> str:
    """Strips the folders of a model's name if it is a path, as servers name models too.

    Example:
        >>> shown_name("/srv/models/judge"), shown_name("Qwen/Qwen2.5-VL-3B-Instruct")
        ('judge', 'Qwen/Qwen2.5-VL-3B-Instruct')
    """
    path = Path(model)
    return path.name if path.is_absolute() or path.is_dir() else model

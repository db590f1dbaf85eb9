"""What every composed-retrieval protocol is to its runner: photos, queries of a photo and a wish, galleries, right answers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from e2.adapters.composed.base import Wish


class TopJudge(Protocol):
    """Looks at what stands in the top places besides right answers."""

    def count(self, top: np.ndarray) -> dict[str, np.ndarray]:
        """(Q, k) gallery rows, -1 for none -> (Q,) how many of each named kind."""


@dataclass(frozen=True)
class Task:
    """A protocol on its data. Gallery rows count targets: photos, or texts where `texts` is given.

    Attributes:
        benchmark: its name, ``fashioniq``, ``attribute-swap`` and so on.
        protocol: everything that numbers depend on, in one name.
        name: of the data.
        split: of the data.
        images: I photos, those of references and galleries, read lazily.
        image_names: I names.
        references: (Q,) int64 rows of ``images``.
        wordings: W lists of Q wishes: the same wishes in other words. A wish is a string, or the captions that make it up.
        answers: for each query the gallery rows that are right; None where they are hidden (a server's test set).
        categories: (Q,) the name of each query's category; figures are averaged over categories without weights.
        galleries: category -> gallery rows that its queries search.
        exclude_reference: whether the reference photo (or its text) may not be returned.
        clusters: (Q,) int64, what the bootstrap draws.
        recall_ks: cut-offs of R@K.
        map_ks: cut-offs of mAP@K; none where the protocol has no mAP.
        texts: T texts to be found; None: photos are.
        text_names: T names.
        recall_answers: as ``answers``, where recalls count fewer (CIRCO: the annotated target only).
        subset: (Q, 1 + C) rows, the right answer first, of R_subset@K (CIRR).
        judge: counts hard negatives (attribute-swap).
        facts: what else belongs into the result.
        query_names: Q names under which a server or a later run knows the queries.
    """

    benchmark: str
    protocol: str
    name: str
    split: str
    images: Sequence[Any]
    image_names: Sequence[str]
    references: np.ndarray
    wordings: Sequence[Sequence[Wish]]
    answers: Sequence[np.ndarray] | None
    categories: np.ndarray
    galleries: Mapping[str, np.ndarray]
    exclude_reference: bool
    clusters: np.ndarray
    recall_ks: tuple[int, ...]
    map_ks: tuple[int, ...] = ()
    texts: Sequence[str] | None = None
    text_names: Sequence[str] = ()
    recall_answers: Sequence[np.ndarray] | None = None
    subset: np.ndarray | None = None
    judge: TopJudge | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    query_names: Sequence[str] = ()

    def __len__(self) -> int:
        return len(self.references)

    @property
    def target_names(self) -> Sequence[str]:
        """Names of the gallery rows."""
        return self.image_names if self.texts is None else self.text_names


class Picked(Sequence[Any]):
    """Some of a lazy sequence's items, in any order and any number, still read when asked for."""

    def __init__(self, items: Any, rows: np.ndarray):
        self.items, self.rows = items, rows

    @property
    def names(self) -> list[str]:
        """The items' names, where they have some (an ``AttributeError`` else, so that ``hasattr`` tells)."""
        names = self.items.names
        return [names[int(row)] for row in self.rows]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, i: int) -> Any:  # type: ignore[override]  # no slices
        return self.items[int(self.rows[i])]

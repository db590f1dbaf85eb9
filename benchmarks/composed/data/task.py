"""Interface between composed-retrieval protocols and their runner: photos, queries, galleries, right answers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from e2.adapters.composed.base import Wish
from e2.benchmarks.composed.data.hard_negatives import HardNegatives


@dataclass(frozen=True)
class Task:
    """A protocol on its data. Gallery rows count targets: photos, or texts where `texts` is given.

    Attributes:
        benchmark: its name, ``fashioniq``, ``attribute-swap`` and so on.
        protocol: everything that results depend on, in one name.
        name: of the data.
        split: of the data.
        images: I photos, those of references and galleries, read lazily.
        image_names: I names.
        references: (Q,) int64 rows of ``images``.
        wordings: W lists of Q wishes: the same wishes in other words. A wish is a string or several captions.
        answers: right gallery rows of each query; None if hidden (a server's test set).
        categories: (Q,) category of each query; metrics are averaged over categories without weights.
        galleries: category -> gallery rows that its queries search.
        exclude_reference: the reference photo (or its text) may not be returned.
        clusters: (Q,) int64, units of the bootstrap.
        recall_ks: cut-offs of R@K.
        map_ks: cut-offs of mAP@K, if the protocol has any.
        texts: T texts to find; None: photos.
        text_names: T names.
        recall_answers: as ``answers``, if recalls count fewer (CIRCO: only the annotated target).
        subset: (Q, 1 + C) rows, the right answer first, of R_subset@K (CIRR).
        judge: counts hard negatives (attribute-swap).
        facts: further facts for the result.
        query_names: Q names of the queries for a server or a later run.
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
    judge: HardNegatives | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    query_names: Sequence[str] = ()

    def __len__(self) -> int:
        return len(self.references)

    @property
    def target_names(self) -> Sequence[str]:
        """Names of the gallery rows."""
        return self.image_names if self.texts is None else self.text_names


class Picked(Sequence[Any]):
    """Some of a lazy sequence's items, in any order, with repetition, still read on demand."""

    def __init__(self, items: Any, rows: np.ndarray):
        self.items, self.rows = items, rows

    @property
    def names(self) -> list[str]:
        """Names of the items, if they have some (otherwise an ``AttributeError``, for ``hasattr``)."""
        names = self.items.names
        return [names[int(row)] for row in self.rows]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, i: int) -> Any:  # type: ignore[override]  # no slices
        return self.items[int(self.rows[i])]

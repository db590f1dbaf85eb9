"""Interface between composed-retrieval protocols and their runner: photos, queries, galleries, right answers."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from e2.adapters.composed.base import Wish
from e2.adapters.encoder import Encoder
from e2.benchmarks.composed.data.hard_negatives import HardNegatives


@dataclass(frozen=True)
class Task:
    """A protocol on its data. Gallery rows count targets: photos, or texts where `texts` is given."""

    benchmark: str  # its name, ``fashioniq``, ``attribute-swap`` and so on
    protocol: str  # everything that results depend on, in one name
    name: str  # of the data
    split: str  # of the data
    images: Sequence[Any]  # I photos, those of references and galleries, read lazily
    image_names: Sequence[str]  # I names
    references: np.ndarray  # (Q,) int64 rows of ``images``
    # W lists of Q wishes: the same wishes in other words. A wish is a string or several captions
    wordings: Sequence[Sequence[Wish]]
    answers: Sequence[np.ndarray] | None  # right gallery rows of each query; None if hidden (a server's test set)
    categories: np.ndarray  # (Q,) category of each query; metrics are averaged over categories without weights
    galleries: Mapping[str, np.ndarray]  # category -> gallery rows that its queries search
    exclude_reference: bool  # the reference photo (or its text) may not be returned
    clusters: np.ndarray  # (Q,) int64, units of the bootstrap
    recall_ks: tuple[int, ...]  # cut-offs of R@K
    map_ks: tuple[int, ...] = ()  # cut-offs of mAP@K, if the protocol has any
    texts: Sequence[str] | None = None  # T texts to find; None: photos
    vectors: Callable[[Encoder], np.ndarray] | None = None  # (I, D) of the gallery, if not those of its photos
    text_names: Sequence[str] = ()  # T names
    # as ``answers``, if recalls count fewer (CIRCO: only the annotated target)
    recall_answers: Sequence[np.ndarray] | None = None
    subset: np.ndarray | None = None  # (Q, 1 + C) rows, the right answer first, of R_subset@K (CIRR)
    judge: HardNegatives | None = None  # counts hard negatives (attribute-swap)
    facts: Mapping[str, Any] = field(default_factory=dict)  # further facts for the result
    query_names: Sequence[str] = ()  # Q names of the queries for a server or a later run

    def __len__(self) -> int:
        return len(self.references)

    @property
    def target_names(self) -> Sequence[str]:
        """Names of the gallery rows."""
        return self.image_names if self.texts is None else self.text_names


def named_rows(task: Task, top: np.ndarray) -> dict[str, list[str]]:
    """Names the photos of (Q, k) rows, -1 for none, by query: for a server."""
    rows = zip(task.query_names, top, strict=True)
    return {name: [task.image_names[row] for row in line if row >= 0] for name, line in rows}


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

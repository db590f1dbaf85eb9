"""Hybrid search: products near a vector and products with the typed words, merged by reciprocal rank.

G. V. Cormack, C. L. A. Clarke, S. Buettcher, "Reciprocal Rank Fusion outperforms Condorcet and individual Rank Learning
Methods" (SIGIR 2009). Only ranks count, as cosines and BM25 scores are not comparable.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from e2.adapters.search.filters import Filter
from e2.adapters.search.index import MOST, ProductIndex
from e2.adapters.search.store import IndexHit
from e2.adapters.unit_vectors import normalised

DEPTH = 100  # products of each list that are merged; the rest follow by their vectors
SMOOTHING = 60  # of the paper
WORD_WEIGHT = 2.0  # of the words' list against the vectors'


@dataclass(frozen=True)
class HybridHits:
    """Hits, best first, with cosines as scores; words whose spelling was corrected; ids of products that have the words; the
    best score."""

    hits: list[IndexHit]
    corrected: dict[str, str] = field(default_factory=dict)
    worded: frozenset[str] = frozenset()
    best: float | None = None


def hybrid_search(
    index: ProductIndex, vector: np.ndarray, words: str, k: int, where: Filter | None = None, offset: int = 0
) -> HybridHits:
    """Finds ``k`` products after the best ``offset``: those named exactly first, then by both lists.

    Args:
        vector: (1, D).
        words: as typed.
    """
    found = index.words(words, DEPTH, where)
    deep = max(DEPTH, offset + k) + len(found.ranked)  # those may be further in front
    enough = max(offset + k, min(MOST, deep))
    near = {hit.product_id: hit for hit in index.search(vector, enough, where)[0]}
    head = fused([list(near)[:DEPTH], found.ranked], [1.0, WORD_WEIGHT])
    order = list(dict.fromkeys([*found.named, *head, *near]))[offset : offset + k]
    far = _scored(index, vector, [name for name in order if name not in near])
    hits = [hit for name in order if (hit := near.get(name) or far.get(name))]
    best = next((hit.score for hit in near.values()), None)
    return HybridHits(hits, found.corrected, frozenset([*found.named, *found.ranked]), best)


def fused(lists: Sequence[Sequence[str]], weights: Sequence[float]) -> list[str]:
    """Merges ranked lists: each product counts ``weight / (SMOOTHING + rank)`` in every list that has it.

    Example:
        >>> fused([["a", "b", "c"], ["c", "d"]], [1.0, 1.0])
        ['c', 'a', 'b', 'd']
    """
    scores: dict[str, float] = defaultdict(float)
    for ranked, weight in zip(lists, weights, strict=True):
        for rank, name in enumerate(ranked, start=1):
            scores[name] += weight / (SMOOTHING + rank)
    return sorted(scores, key=lambda name: -scores[name])


def _scored(index: ProductIndex, vector: np.ndarray, names: Sequence[str]) -> dict[str, IndexHit]:
    """Products with the cosines of their photos and the query; deleted ones are left out."""
    vectors = index.store.vectors(names)
    query = normalised(vector[0])
    hits = {hit.product_id: hit for hit in index.get(names)}
    return {name: replace(hits[name], score=float(found @ query)) for name, found in vectors.items() if name in hits}

"""Nearest neighbours of every vector among all others: exact up to a size, beyond it by the clusters of `e2 index`."""

import numpy as np

from e2.adapters.composed.top_k import search
from e2.adapters.search.clusters import Clusters
from e2.adapters.search.snapshot import EXACT
from e2.adapters.search.vector_types import KeptVectors
from e2.progress import with_progress

BLOCK = 4096  # queries at a time


def nearest_others(vectors: np.ndarray, count: int, progress: bool = True) -> tuple[np.ndarray, np.ndarray]:
    """Finds the nearest neighbours of each vector, itself left out.

    Args:
        vectors: (N, D), L2-normalised.
        count: neighbours of each, at most.

    Returns:
        neighbours (N, K) int64, the nearest first, -1 = none, and their cosines (N, K) float32, K = min(count, N - 1).
    """
    count = min(count, len(vectors) - 1)
    neighbours = np.full((len(vectors), count), -1, np.int64)
    scores = np.full((len(vectors), count), -np.inf, np.float32)
    if not count:
        return neighbours, scores
    rows = np.arange(len(vectors))
    clusters = Clusters.of(KeptVectors(vectors), rows, bits=8) if len(vectors) > EXACT else None
    starts = range(0, len(vectors), BLOCK)
    for start in with_progress(starts, "finding neighbours", len(starts), progress):
        own = rows[start : start + BLOCK]
        if clusters is None:
            scores[own], neighbours[own] = search(vectors[own], vectors, count, exclude=own)
        else:
            scores[own], neighbours[own] = _by_clusters(clusters, vectors, own, count)
    return neighbours, scores


def _by_clusters(clusters: Clusters, vectors: np.ndarray, own: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Finds candidates on the clusters' codes and scores them exactly."""
    found = clusters.candidates(vectors[own], 2 * count + 1, np.ones(len(vectors), bool))  # codes order roughly
    cosines = np.einsum("nd,nkd->nk", vectors[own], vectors[found])
    cosines[(found == own[:, None]) | (found < 0)] = -np.inf
    order = np.argsort(-cosines, axis=1, kind="stable")[:, :count]
    cosines, found = np.take_along_axis(cosines, order, 1), np.take_along_axis(found, order, 1)
    return cosines, np.where(np.isneginf(cosines), -1, found)

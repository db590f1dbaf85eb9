"""Tells the weak matches of words from the good ones.

Cosines of a text and photos mean nothing by themselves: their range differs between encoders and between texts. A match is
weak if its score is less than some way from that of the catalogue's mean vector to that of the best match.
"""

import numpy as np

from e2.adapters.search.index import ProductIndex
from e2.adapters.unit_vectors import normalised

DIRECTIONS, EACH = 64, 8  # random queries, and hits of each, whose mean stands for the catalogue's
SHARE = 0.4  # of the way from the catalogue's mean to the best match: chosen by the trial in docs/app.md


def mean_vector(index: ProductIndex) -> np.ndarray:
    """Estimates the mean (D,) of the products' vectors, by what random queries find: engines give no random products."""
    queries = np.random.default_rng(0).standard_normal((DIRECTIONS, index.manifest.dim)).astype(np.float32)
    found = {hit.product_id: None for hits in index.search(queries, EACH) for hit in hits}
    return index.vectors(list(found)).mean(axis=0) if found else np.zeros(index.manifest.dim, np.float32)


def weak_below(vector: np.ndarray, best: float, mean: np.ndarray) -> float:
    """Computes the score below which a match of words is weak, from their vector (D,) and the score of the best match."""
    middle = float(normalised(vector) @ mean)
    return middle + SHARE * (best - middle)

"""Unit vectors: what encoders give, indexes hold and cosines compare."""

from collections.abc import Sequence

import numpy as np


def normalised(vectors: np.ndarray) -> np.ndarray:
    """Normalises vectors (..., D) to length 1, float32; zeros stay zeros."""
    vectors = np.asarray(vectors, dtype=np.float32)
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)


def mean_of_each(vectors: np.ndarray, chosen: Sequence[Sequence[int]]) -> np.ndarray:
    """Normalised mean of some of V vectors each: (V, D) and N lists of rows -> (N, D); zeros of an empty list.

    So a tag of several values has one text: the mean of its values'.
    """
    return normalised(np.stack([vectors[list(rows)].sum(axis=0) for rows in chosen]))

"""Unit vectors: what encoders give, indexes hold and cosines compare."""

import numpy as np


def normalised(vectors: np.ndarray) -> np.ndarray:
    """Normalises vectors (..., D) to length 1, float32; zeros stay zeros."""
    vectors = np.asarray(vectors, dtype=np.float32)
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)

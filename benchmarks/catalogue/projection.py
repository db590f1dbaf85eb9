"""Draws vectors on a plane: t-SNE over principal components, by scikit-learn."""

import numpy as np

from e2.extras import extra

MOST = 10_000  # products on the map; t-SNE takes a minute or two for so many
COMPONENTS = 50  # that t-SNE starts from
PERPLEXITY = 30.0


def chosen(count: int, seed: int) -> np.ndarray:
    """Rows that the map shows, in order: all, or `MOST` of them drawn by the seed."""
    if count <= MOST:
        return np.arange(count)
    return np.sort(np.random.default_rng(seed).choice(count, MOST, replace=False))


def project(vectors: np.ndarray, seed: int) -> np.ndarray:
    """Places N vectors (N, D) on a plane, (N, 2) in 0 to 1; neighbours stay together, distances between groups mean little.

    Raises:
        InputError: scikit-learn is not installed.
    """
    with extra("check", "e2 data check"):
        from sklearn.decomposition import PCA
        from sklearn.manifold import TSNE
    if len(vectors) < 4:
        return np.linspace([0.0, 0.5], [1.0, 0.5], len(vectors))
    components = PCA(min(COMPONENTS, *vectors.shape), random_state=seed).fit_transform(vectors)
    perplexity = min(PERPLEXITY, (len(vectors) - 1) / 3)
    places = TSNE(2, perplexity=perplexity, init="pca", random_state=seed).fit_transform(components)
    low, high = places.min(axis=0), places.max(axis=0)
    return (places - low) / np.maximum(high - low, 1e-12)

"""Intervals over products *and* seeds, for means over seeds and for paired differences of variants.

Every variant is trained with the same seeds and measured on the same products, so the values form a crossed table, seeds by
products. A resample draws as many products as there are, with replacement, and as many seeds, with replacement, and takes
every drawn product under every drawn seed: both are resampled independently (Owen, "The pigeonhole bootstrap", Annals of
Applied Statistics 2007), which counts the chance of the test set and that of the training, and errs on the wide side. One draw
serves all variants and metrics: a difference pairs the same products and the same seeds. The percentile interval of a few
seeds is rough: three seeds have ten different draws. With one seed it covers the products alone.
"""

from collections.abc import Iterator

import numpy as np

RESAMPLES = 2000
BLOCK = 100  # resamples at a time


def terms(items: np.ndarray) -> np.ndarray:
    """Items of a metric (P,) or (P, T, 2) as (P, T, 2) sums and counts; a NaN value counts for nothing."""
    if items.ndim == 3:
        return items
    present = ~np.isnan(items)
    return np.stack([np.where(present, items, 0.0), present], axis=-1)[:, None]


def value(items: np.ndarray) -> float:
    """The metric itself."""
    sums, counts = np.moveaxis(terms(items).sum(axis=0), -1, 0)
    return float((sums / counts).sum())


def resampled(table: np.ndarray, *, resamples: int = RESAMPLES, seed: int = 0) -> np.ndarray:
    """The mean over seeds of several metrics, in each resample of products and seeds.

    Args:
        table: (S, P, M, T, 2) sums and counts of S seeds, P products and M metrics, padded with terms of sum 0 and count 1.

    Returns:
        (resamples, M); the same ``seed`` draws the same products and seeds for every table of as many of them.
    """
    seeds, products = table.shape[:2]
    flat = table.transpose(1, 0, 2, 3, 4).reshape(products, -1)
    means = []
    for drawn_products, drawn_seeds in _draws(products, seeds, resamples, seed):
        drawn = (drawn_products @ flat).reshape(len(drawn_products), seeds, *table.shape[2:])
        with np.errstate(invalid="ignore"):  # a resample without any product that has the metric gives NaN
            each = (drawn[..., 0] / drawn[..., 1]).sum(axis=-1)  # (R, S, M)
        means.append(np.einsum("rs,rsm->rm", drawn_seeds / seeds, each))
    return np.concatenate(means)


def _draws(products: int, seeds: int, resamples: int, seed: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """How often each product (R, P) and each seed (R, S) is drawn, in blocks of resamples."""
    rng = np.random.default_rng(seed)
    for start in range(0, resamples, BLOCK):
        count = min(BLOCK, resamples - start)
        yield _times_drawn(rng, count, products), _times_drawn(rng, count, seeds)


def _times_drawn(rng: np.random.Generator, count: int, size: int) -> np.ndarray:
    """(count, size): in each of ``count`` draws of ``size`` out of ``size``, how often each came."""
    drawn = rng.integers(size, size=(count, size))
    return np.stack([np.bincount(row, minlength=size) for row in drawn]).astype(float)

"""Intervals over products *and* seeds, for means over seeds and for paired differences of variants.

Every variant is trained with the same seeds and evaluated on the same products, so the values form a crossed table, seeds by
products. A resample draws products and seeds independently with replacement and takes every drawn product under every drawn
seed (Owen, "The pigeonhole bootstrap", Annals of Applied Statistics 2007). So it covers the randomness of test set and
training, and errs on the wide side. All variants and metrics share the resamples: differences pair products and seeds.
Intervals of few seeds are rough: three seeds have ten distinct resamples. With one seed they cover the products only.
"""

import numpy as np

RESAMPLES = 2000
BLOCK = 100  # resamples at a time


def terms(items: np.ndarray) -> np.ndarray:
    """Converts items of a metric (P,) or (P, T, 2) to (P, T, 2) sums and counts, without NaN values."""
    if items.ndim == 3:
        return items
    present = ~np.isnan(items)
    return np.stack([np.where(present, items, 0.0), present], axis=-1)[:, None]


def value(items: np.ndarray) -> float:
    """Computes the metric from its items."""
    sums, counts = np.moveaxis(terms(items).sum(axis=0), -1, 0)
    return float((sums / counts).sum())


def resampled(table: np.ndarray, *, resamples: int = RESAMPLES, seed: int = 0) -> np.ndarray:
    """Averages several metrics over seeds in each resample of products and seeds.

    Args:
        table: (S, P, M, T, 2) sums and counts of S seeds, P products and M metrics, padded with terms of sum 0 and count 1.

    Returns:
        (resamples, M); the same ``seed`` gives the same resamples for tables of equal S and P.
    """
    seeds, products = table.shape[:2]
    flat = table.transpose(1, 0, 2, 3, 4).reshape(products, -1)
    means, rng = [], np.random.default_rng(seed)
    for start in range(0, resamples, BLOCK):
        count = min(BLOCK, resamples - start)
        drawn_products, drawn_seeds = _times_drawn(rng, count, products), _times_drawn(rng, count, seeds)
        drawn = (drawn_products @ flat).reshape(len(drawn_products), seeds, *table.shape[2:])
        with np.errstate(invalid="ignore"):  # a resample without any product that has the metric gives NaN
            each = (drawn[..., 0] / drawn[..., 1]).sum(axis=-1)  # (R, S, M)
        means.append(np.einsum("rs,rsm->rm", drawn_seeds / seeds, each))
    return np.concatenate(means)


def _times_drawn(rng: np.random.Generator, count: int, size: int) -> np.ndarray:
    """Draws ``size`` out of ``size`` items ``count`` times: how often each came, (count, size)."""
    drawn = rng.integers(size, size=(count, size))
    return np.stack([np.bincount(row, minlength=size) for row in drawn]).astype(float)

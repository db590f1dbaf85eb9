"""Bootstraps means over queries, resampled by product.

Photos and texts of one product succeed and fail together, so products are resampled (a cluster bootstrap: Field and Welsh,
"Bootstrapping clustered data", JRSS B 2007). A resample draws as many products as there are, with replacement; a product drawn
twice counts twice with all its queries. All measures and, with the same seed, all models on the same queries share the
resamples: so SumR's interval is joint over both directions, and differences of two models are paired.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from e2.finite import require_finite

RESAMPLES = 2000


@dataclass(frozen=True)
class Measure:
    """Per-query values whose means are reported.

    Attributes:
        values: (Q, K) one column per mean, e.g. hits in the top 1, 5 and 10.
        products: (Q,) product of each query; ids are shared between measures.
    """

    values: np.ndarray
    products: np.ndarray


def resampled_means(measures: Sequence[Measure], *, resamples: int = RESAMPLES, seed: int = 0) -> np.ndarray:
    """Computes the means of all measures' columns, side by side, in each resample: (resamples, sum of K).

    Resamples are drawn one at a time, to save memory. A mean is NaN in a resample without queries of its measure.

    Raises:
        NotFinite: a value is NaN or infinite.
    """
    for measure in measures:
        require_finite(measure.values, "measured values")
    products = np.unique(np.concatenate([measure.products for measure in measures]))
    sums, counts = zip(*(_per_product(measure, products) for measure in measures), strict=True)
    sums, counts = np.concatenate(sums, axis=1), np.concatenate(counts, axis=1)  # (P, sum of K) each
    rng = np.random.default_rng(seed)
    means = np.empty((resamples, sums.shape[1]))
    for row in means:
        times_drawn = np.bincount(rng.integers(len(products), size=len(products)), minlength=len(products)).astype(float)
        drawn = times_drawn @ counts
        np.divide(times_drawn @ sums, drawn, out=row, where=drawn > 0)
        row[drawn == 0] = np.nan
    return means


def _per_product(measure: Measure, products: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sums (P, K) the values and counts (P, K) the queries of each product."""
    place = np.searchsorted(products, measure.products)
    columns = [np.bincount(place, weights=column, minlength=len(products)) for column in measure.values.T]
    count = np.bincount(place, minlength=len(products)).astype(float)
    return np.stack(columns, axis=1), np.repeat(count[:, None], len(columns), axis=1)


def interval(samples: np.ndarray) -> tuple[float, float]:
    """Computes the 95 % percentile interval of one bootstrapped quantity.

    For two models, give the difference of their samples (same queries, resamples and seed): the interval is paired, and far
    narrower than the two models' own intervals suggest.
    """
    low, high = np.nanpercentile(samples, [2.5, 97.5])
    return float(low), float(high)

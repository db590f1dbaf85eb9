"""The vectorised bootstrap against a plain loop, its coverage, and pairing."""

import numpy as np
import pytest

from e2.benchmarks.core.bootstrap import Measure, interval, resampled_means


def plain_resample(measures, products, drawn):
    """Concatenates the queries of each drawn product, as the definition says."""
    means = []
    for measure in measures:
        rows = np.concatenate([np.flatnonzero(measure.products == products[place]) for place in drawn])
        means.extend(measure.values[rows].mean(axis=0))
    return means


def test_equals_a_plain_loop_over_the_same_draws():
    rng = np.random.default_rng(0)
    measures = [
        Measure(rng.random((40, 3)), np.concatenate([np.arange(15), rng.integers(15, size=25)])),
        Measure(rng.random((20, 2)), np.concatenate([np.arange(15), rng.integers(15, size=5)])),
    ]
    draws = np.random.default_rng(7)
    expected = [plain_resample(measures, np.arange(15), draws.integers(15, size=15)) for _ in range(30)]
    np.testing.assert_allclose(resampled_means(measures, resamples=30, seed=7), expected, rtol=1e-12)


def test_the_interval_of_a_mean_matches_theory_and_the_seed_fixes_it():
    values = np.random.default_rng(0).normal(size=(400, 1))
    samples = resampled_means([Measure(values, np.arange(400))])
    low, high = interval(samples[:, 0])
    half = 1.96 * values.std() / np.sqrt(400)
    assert (low, high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.1 * half)
    np.testing.assert_array_equal(samples, resampled_means([Measure(values, np.arange(400))]))


def test_about_95_of_100_intervals_hold_the_true_recall():
    rng = np.random.default_rng(1)
    held = 0
    for _ in range(200):
        hits = (rng.random((150, 1)) < 0.3).astype(float)
        low, high = interval(resampled_means([Measure(hits, np.arange(150))], resamples=300)[:, 0])
        held += low <= 0.3 <= high
    assert 0.90 <= held / 200 <= 0.99


def test_photos_of_one_product_do_not_count_as_independent():
    hits = (np.random.default_rng(0).random((100, 1)) < 0.5).astype(float)
    alone = resampled_means([Measure(hits, np.arange(100))])
    tenfold = resampled_means([Measure(np.repeat(hits, 10, axis=0), np.repeat(np.arange(100), 10))])
    np.testing.assert_allclose(alone, tenfold)


def test_a_paired_interval_sees_a_small_constant_difference():
    rng = np.random.default_rng(0)
    a = (rng.random((300, 1)) < 0.4).astype(float)
    b = a.copy()
    b[np.flatnonzero(a[:, 0] == 0)[:12]] = 1  # better on 12 of 300 queries, worse on none
    samples_a, samples_b = (resampled_means([Measure(values, np.arange(300))], seed=3)[:, 0] for values in (a, b))
    low, high = interval(samples_b - samples_a)
    assert 0 < low < 12 / 300 < high
    # Unpaired, the two intervals overlap.
    assert interval(samples_a)[1] > interval(samples_b)[0]

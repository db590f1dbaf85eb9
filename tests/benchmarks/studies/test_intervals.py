"""The bootstrap over products and seeds against a plain one, and against what theory says of its width."""

import numpy as np
import pytest

from e2.benchmarks.studies.intervals import BLOCK, _times_drawn, resampled, terms, value


def test_value_is_the_mean_of_plain_items_and_the_sum_of_ratios_of_others():
    assert value(np.array([1.0, 2.0, np.nan, 6.0])) == 3.0
    items = np.array([[[100, 1], [50, 1]], [[100, 3], [0, 1]]], dtype=float)  # two products, two terms
    assert value(items) == 200 / 4 + 50 / 2


def test_resamples_are_those_of_a_plain_loop():
    rng = np.random.default_rng(0)
    table = np.stack([rng.normal(size=(3, 7, 2, 2)), rng.integers(1, 4, size=(3, 7, 2, 2))], axis=-1)  # S 3, P 7, M 2, T 2
    found = resampled(table, resamples=5, seed=1)
    draws = np.random.default_rng(1)
    products, seeds = draws.integers(7, size=(5, 7)), draws.integers(3, size=(5, 3))
    for row, chosen, drawn in zip(found, products, seeds, strict=True):
        for metric in range(2):
            of_seed = [
                sum(table[s, chosen, metric, t, 0].sum() / table[s, chosen, metric, t, 1].sum() for t in (0, 1)) for s in drawn
            ]
            assert row[metric] == pytest.approx(np.mean(of_seed))


def test_draws_do_not_depend_on_the_block(monkeypatch):
    table = np.random.default_rng(0).normal(1, 0.1, size=(1, 20, 1, 1, 2))
    whole = resampled(table, resamples=BLOCK, seed=3)
    assert np.array_equal(resampled(table, resamples=2 * BLOCK, seed=3)[:BLOCK], whole)


def test_times_drawn_counts_with_replacement():
    times = _times_drawn(np.random.default_rng(0), 50, 6)
    assert times.shape == (50, 6) and (times.sum(axis=1) == 6).all() and times.max() > 1


def test_width_with_one_seed_is_the_standard_error_over_products():
    values = np.random.default_rng(0).normal(size=400)
    table = terms(values)[None, :, None]  # S 1, P 400, M 1, T 1
    assert resampled(table)[:, 0].std() == pytest.approx(values.std() / 20, rel=0.06)


def test_width_with_seeds_holds_both_parts_of_the_chance():
    rng = np.random.default_rng(0)
    product, seed = rng.normal(size=300), 0.2 * rng.normal(size=20)
    table = np.stack([terms(product + effect) for effect in seed])[:, :, None]
    expected = np.sqrt(product.var() / 300 + seed.var() / 20)
    assert resampled(table)[:, 0].std() == pytest.approx(expected, rel=0.06)


def test_differences_of_one_draw_are_paired():
    rng = np.random.default_rng(0)
    first = rng.normal(size=200)
    tables = [terms(values)[None, :, None] for values in (first, first + 1)]
    difference = resampled(tables[1]) - resampled(tables[0])
    assert difference == pytest.approx(np.ones_like(difference))


def test_a_product_without_the_metric_counts_for_nothing():
    items = np.array([2.0, np.nan, 4.0])
    found = resampled(terms(items)[None, :, None], resamples=200)
    assert np.nanmin(found) >= 2 and np.nanmax(found) <= 4

"""Exact search against a full sort: blocks, groups, ties, excluded rows, tiny galleries."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import e2.adapters.composed.top_k as module
from e2.adapters.composed import search
from e2.errors import InputError


def sorted_fully(queries, gallery, top_k, exclude=None):
    scores = queries @ gallery.T
    if exclude is not None:
        for row, left_out in enumerate(exclude):
            if left_out >= 0:
                scores[row, left_out] = -np.inf
    return np.argsort(-scores, axis=1, kind="stable")[:, :top_k]


@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 5),
    st.integers(1, 700),
    st.integers(1, 90),
    st.sampled_from([64, 192, 5000]),
    st.booleans(),
    st.sampled_from([1, 999]),
    st.integers(0, 99),
)
def test_equals_a_full_sort(queries, size, top_k, block, excluding, most, seed):
    rng = np.random.default_rng(seed)
    # Whole numbers: exact sums in any order, so that scores are comparable to the bit. Of small ones many are equal.
    q, g = (rng.integers(-most, most + 1, (rows, 3)).astype(np.float32) for rows in (queries, size))
    exclude = rng.integers(-1, size, queries) if excluding else None
    before, module.BLOCK_SCORES = module.BLOCK_SCORES, block * queries
    try:
        scores, rows = search(q, g, top_k, exclude=exclude)
    finally:
        module.BLOCK_SCORES = before
    full = (q @ g.T).astype(np.float64)
    if exclude is not None:
        full[np.arange(queries)[exclude >= 0], exclude[exclude >= 0]] = -np.inf
    np.testing.assert_array_equal(scores, -np.sort(-full, axis=1)[:, :top_k])
    real = np.isfinite(scores)
    np.testing.assert_array_equal(np.take_along_axis(full, np.where(rows < 0, 0, rows), 1)[real], scores[real])
    assert (rows[~real] == -1).all()
    np.testing.assert_array_equal(rows[real], sorted_fully(q, g, top_k, exclude)[real])
    assert all(len(set(row[row >= 0])) == (row >= 0).sum() for row in rows)


def test_equal_scores_come_in_order_of_their_rows():
    g = np.repeat(np.eye(4, dtype=np.float32), 3, axis=0)  # each vector three times
    _, rows = search(np.eye(4, dtype=np.float32)[:2] + 0.1 * np.eye(4, dtype=np.float32)[1:3], g, 6)
    assert rows[0].tolist() == [0, 1, 2, 3, 4, 5]
    assert rows[1].tolist() == [3, 4, 5, 6, 7, 8]


def test_memory_mapped_galleries_and_many_queries(tmp_path):
    rng = np.random.default_rng(0)
    g = rng.normal(size=(3000, 8)).astype(np.float32)
    np.save(tmp_path / "g.npy", g)
    q = rng.normal(size=(2500, 8)).astype(np.float32)
    _, rows = search(q, np.load(tmp_path / "g.npy", mmap_mode="r"), 5)
    np.testing.assert_array_equal(rows, sorted_fully(q, g, 5))


def test_a_gallery_of_one():
    one = np.ones((1, 2), dtype=np.float32)
    scores, rows = search(one, one, 12)
    assert rows.tolist() == [[0]] and scores.tolist() == [[2.0]]
    scores, rows = search(one, one, 12, exclude=np.array([0]))
    assert rows.tolist() == [[-1]] and np.isneginf(scores).all()


def test_impossible_searches_are_refused():
    one = np.ones((1, 2), dtype=np.float32)
    for queries, gallery, top_k, message in (
        (one, one[:0], 1, "gallery is empty"),
        (one, one, 0, "ask for 1 or more"),
        (np.ones((1, 3)), one, 1, "do not fit a gallery of width 2"),
        (one * np.nan, one, 1, "a query's vector is not finite"),
        (one, np.array([[1, 0], [np.inf, 0]], dtype=np.float32), 1, "the gallery holds vectors that are not finite"),
    ):
        with pytest.raises(InputError, match=message):
            search(queries, gallery, top_k)

"""Weak matches of words: below a share of the way from the catalogue's mean to the best match."""

import numpy as np
import pytest

from e2.adapters.search.engines import create_store
from e2.adapters.search.index import ProductIndex
from e2.adapters.search.queries import IndexQuery, search
from e2.adapters.search.weakness import mean_vector, weak_below
from tests.adapters.search.conftest import entry, manifest, unit

CONE = np.eye(16, dtype=np.float32)[0] * 2  # as encoders' photos, the vectors have much in common


@pytest.fixture
def index(tmp_path):
    vectors = unit(300) + CONE
    store = create_store(str(tmp_path / "index"), manifest())
    store.write([entry(n, vector / np.linalg.norm(vector)) for n, vector in enumerate(vectors)])
    store.finish()
    index = ProductIndex(store)
    yield index
    index.close()


def test_some_way_from_the_mean_to_the_best(index):
    vectors = index.vectors([f"id {n}" for n in range(300)])
    mean, true = mean_vector(index), vectors.mean(axis=0)
    assert mean @ true / np.linalg.norm(mean) / np.linalg.norm(true) > 0.99
    for query in unit(5, seed=1):
        scores = vectors @ query
        naive = 0.4 * scores.max() + 0.6 * query @ true
        asked = IndexQuery(3 * query[None], words="zzz", full_text=True)
        assert weak_below(asked.vector[0], search(index, asked, 1).best, mean) == pytest.approx(naive, abs=0.03)
    assert search(index, IndexQuery(unit(1), words="zzz", full_text=True), 1, 'brand == "nope"').best is None

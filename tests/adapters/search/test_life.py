"""Any order of writes, deletions, rebuilds and searches leaves the folder engine with what a dict would hold."""

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from e2.adapters.search.engines import create_store, open_store, resume_store
from e2.adapters.search.index import ProductIndex
from e2.adapters.search.store import Entry
from tests.adapters.search.conftest import DIM, WORDS, entry, manifest, unit

FEW = 40  # products from which on there are clusters, and dead rows are given back
RUNS = st.builds(range, st.integers(0, 40), st.integers(41, 100))  # of numbers
BATCHES = st.builds(lambda numbers, version: [(number, version) for number in numbers], RUNS, st.integers(0, 9))
BRANDS = st.sampled_from(WORDS["brand"])


def entries_of(batch: list[tuple[int, int]]) -> list[Entry]:
    """Products of (number, version): vector and tags follow from both."""
    return [
        entry(number + version, unit(1, 100 * version + number)[0], product_id=f"id '{number}\"", caption=f"version {version}")
        for number, version in batch
    ]


class Life(RuleBasedStateMachine):
    """One index in a folder, a reader that stays open, and the products that there should be."""

    @initialize()
    def make(self):
        self.folder = tempfile.TemporaryDirectory()
        self.place = str(Path(self.folder.name) / "index")
        self.store = create_store(self.place, manifest())
        self.reader = ProductIndex(open_store(self.place))
        self.products: dict[str, Entry] = {}
        self.write([(number, 0) for number in range(60)])
        self.store.finish()

    def teardown(self):
        self.store.close()
        self.reader.close()
        self.folder.cleanup()

    @rule(batch=BATCHES)
    def write(self, batch):
        self.store.write(entries_of(batch))
        self.products |= {product.product_id: product for product in entries_of(batch)}

    @rule(numbers=RUNS)
    def delete(self, numbers):
        ids = [f"id '{number}\"" for number in numbers]
        assert self.store.delete(ids) == len(set(ids) & set(self.products))
        self.products = {product_id: product for product_id, product in self.products.items() if product_id not in ids}

    @rule()
    def finish(self):
        self.store.finish()

    @rule()
    def open_again(self):
        self.store.close()
        self.store = open_store(self.place)

    @rule(batch=BATCHES, stopped=st.booleans())
    def rebuild(self, batch, stopped):
        """Another index takes this one's place, which is seen only when it is whole."""
        new = create_store(self.place, manifest(), overwrite=True)
        new.write(entries_of(batch))
        if stopped:
            new.close()
            self.agrees()
            new = resume_store(self.place)
        new.finish()
        self.store.close()
        self.reader.close()
        self.store, self.reader = new, ProductIndex(open_store(self.place))
        self.products = {product.product_id: product for product in entries_of(batch)}

    @rule(seed=st.integers(0, 99), brand=st.none() | BRANDS, k=st.integers(1, 120))
    def search(self, seed, brand, k):
        """Each hit is right and none is missing; they are the very best where few products pass."""
        query = unit(1, seed + 5000)[0]
        passing = [p for p in self.products.values() if brand is None or p.tags.get("brand", "") == brand]
        scores = {product.product_id: float(product.vector @ query) for product in passing}
        where = None if brand is None else self.reader.filter(tags={"brand": [brand]})
        hits = self.reader.search(query, k, where)[0]
        best = sorted(scores, key=scores.get, reverse=True)[:k]
        assert len(hits) == len(best)
        assert np.allclose([hit.score for hit in hits], [scores[hit.product_id] for hit in hits], atol=1e-5)
        assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
        assert all(hit.caption == self.products[hit.product_id].caption for hit in hits)
        if len(passing) <= FEW:
            assert np.allclose([hit.score for hit in hits], [scores[product_id] for product_id in best], atol=1e-5)

    @invariant()
    def agrees(self):
        """A reader sees what was written, without opening anything again."""
        found = self.reader.get(list(self.products))
        assert len(self.reader) == len(self.products) == len(found)
        assert all(hit.tags == self.products[hit.product_id].tags for hit in found)
        assert all(hit.caption == self.products[hit.product_id].caption for hit in found)
        vectors = np.array([product.vector for product in self.products.values()]).reshape(-1, DIM)
        assert np.array_equal(self.reader.vectors(list(self.products)), vectors)
        brands = [product.tags.get("brand", "") for product in self.products.values()]
        assert self.reader.facets()["brand"] == {brand: brands.count(brand) for brand in set(brands) if brand}


@pytest.mark.parametrize("cases", [8, pytest.param(200, marks=pytest.mark.slow)])
def test_a_folder_holds_what_a_dict_would(monkeypatch, cases):
    for module in ("local_store", "snapshot"):
        monkeypatch.setattr(f"e2.adapters.search.{module}.EXACT", FEW)
    quiet = {"database": None, "deadline": None, "suppress_health_check": list(HealthCheck)}
    run_state_machine_as_test(Life, settings=settings(max_examples=cases, stateful_step_count=20, derandomize=True, **quiet))

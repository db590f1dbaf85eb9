"""Orders by a tag's numbers: of a query's nearest products, or of all products, page after page."""

import numpy as np
import pytest

from e2.adapters.search import queries
from e2.adapters.search.engines import create_store
from e2.adapters.search.index import ProductIndex
from e2.adapters.search.queries import IndexQuery, search
from e2.adapters.search.sorting import Order, numbered, order_of
from e2.adapters.search.store import Entry
from e2.errors import InputError
from tests.adapters.search.conftest import entry, manifest, unit

PRICES = ("9.5", "12", "7", "", "12.0", "on request", "30 | 8", "100", "12")


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """90 products, ten of each price: of two prices, without one, of the same number in two spellings."""
    vectors = unit(90)
    entries = [
        Entry(f"{n}", str(n), "", {"price": price, "brand": "ab"[n % 2]} if price else {}, b"\xff\xd8", vectors[n])
        for n in range(90)
        for price in [PRICES[n % len(PRICES)]]
    ]
    store = create_store(str(tmp_path_factory.mktemp("sorting") / "index"), manifest(entities=("price", "brand")))
    store.write(entries)
    store.finish()
    index = ProductIndex(store)
    yield index, {entry.product_id: entry for entry in entries}
    index.close()


def key(order: Order, entry: Entry, vector: np.ndarray) -> tuple[float, float]:
    """Naive: by the numbers, then by the cosine."""
    numbers = [float(text) for text in entry.tags.get("price", "").split(" | ") if text.replace(".", "").isdigit()]
    number = (-max(numbers) if order.highest else min(numbers)) if numbers else np.inf
    return number, -float(entry.vector @ vector)


@pytest.mark.parametrize("highest", [False, True])
@pytest.mark.parametrize("where", [None, 'brand == "a"'])
def test_all_products_in_order_page_after_page(shop, highest, where):
    index, entries = shop
    order, vector = Order("price", highest), unit(1, seed=1)
    passing = [entry for entry in entries.values() if where is None or entry.tags.get("brand") == "a"]
    naive = [entry.product_id for entry in sorted(passing, key=lambda entry: key(order, entry, vector[0]))]
    found, offset = [], 0
    while offset is not None:
        page = search(index, IndexQuery(vector, browses=True), 7, where, offset, order=order)
        found, offset = found + [hit.product_id for hit in page.hits], page.next_offset
    assert found == naive and page.sorted is None


@pytest.mark.parametrize("size", [1, 5])
def test_products_of_equal_photos_are_on_one_page_each(size, tmp_path):
    photos = unit(3)
    entries = [entry(n, photos[n % 3], tags={"colour": ("3 | 30", "1", "10")[n // 3 % 3]}) for n in range(60)]
    store = create_store(str(tmp_path / "index"), manifest())
    store.write(entries)
    store.finish()
    query, found, offset = IndexQuery(unit(1, seed=5), browses=True), [], 0
    while offset is not None:
        page = search(ProductIndex(store), query, size, offset=offset, order=Order("colour"))
        found, offset = found + [hit.product_id for hit in page.hits], page.next_offset
    assert len(set(found)) == len(found) == 60
    store.close()


def test_the_nearest_products_of_a_query_are_ordered_and_no_others(shop, monkeypatch):
    index, entries = shop
    monkeypatch.setattr(queries, "NEAREST", 20)
    order, query = Order("price"), IndexQuery(unit(1, seed=2))
    nearest = [hit.product_id for hit in search(index, query, 20).hits]
    naive = sorted(nearest, key=lambda name: key(order, entries[name], query.vector[0]))
    first = search(index, query, 12, order=order)
    second = search(index, query, 12, offset=first.next_offset, order=order)
    assert [hit.product_id for hit in first.hits + second.hits] == naive
    assert (first.sorted, first.next_offset, second.next_offset) == (20, 12, None)


def test_which_tags_have_numbers_and_what_an_order_is_called(shop):
    assert numbered(shop[0].facets()) == ["price"]
    assert order_of("price", ["price"]) == Order("price") and order_of("-price", ["price"]) == Order("price", highest=True)
    assert order_of("-a", ["-a"]) == Order("-a") and order_of("", ["price"]) is None
    with pytest.raises(InputError, match="no tag 'size'.*price"):
        order_of("-size", ["price"])

"""A catalogue in memory, as searches see it: each product once, with and without its words."""

import pytest

from e2.adapters.embeddings.write import write_embeddings
from e2.adapters.search.index import ProductSearch
from e2.adapters.search.memory import MemoryStore
from e2.data.product import Product
from e2.errors import InputError
from tests.benchmarks.stubs import Shelf, colour_encoder, png


@pytest.fixture
def shelf():
    first = Product("a", (png("red"), png("blue")), ("a red top",), {"sub_category": "Tops"})
    return Shelf([first, Product("b", (png("green"),), ("a green bag",), {})])


@pytest.fixture
def embedded(shelf, tmp_path):
    write_embeddings(colour_encoder(), shelf, tmp_path / "e.parquet", what=("image", "text"), progress=False)
    return tmp_path / "e.parquet"


def test_a_product_of_several_photos_is_found_once_by_their_mean(shelf, embedded):
    encoder = colour_encoder()
    store = MemoryStore(encoder, index=embedded)
    hits = ProductSearch(store).search(encoder.encode_texts(["blue"]), 5)[0]
    assert [(hit.product_id, round(hit.score, 5), hit.caption) for hit in hits] == [("a", 0.70711, ""), ("b", 0.0, "")]
    assert len(store) == 2 and store.photo("a") is None
    by_texts = MemoryStore(encoder, shelf, target="text")  # the first photo of a is red, and so are its words
    assert ProductSearch(by_texts).search(encoder.encode_texts(["green"]), 1)[0][0].caption == "a green bag"


def test_filters_counts_and_pages(shelf, embedded):
    encoder = colour_encoder()
    store = MemoryStore(encoder, shelf, embedded)
    products = ProductSearch(store)
    assert products.facets() == {"sub_category": {"Tops": 1}} == products.facets('sub_category == "Tops"')
    query = encoder.encode_texts(["green"])
    assert [hit.product_id for hit in products.search(query, 5, 'sub_category == "Tops"')[0]] == ["a"]
    assert [hit.product_id for hit in products.search(query, 5, 'sub_category == ""')[0]] == ["b"]
    assert [hit.product_id for hit in products.search(query, 1, offset=1)[0]] == ["a"]
    assert products.search(query, 5, 'sub_category == "Bags"') == [[]]
    assert store.photo("a") == shelf[0].images[0]


def test_nothing_to_search_in_is_refused(shelf):
    for given, message in (
        ({}, "nothing to search in"),
        ({"catalogue": shelf, "target": "video"}, "choose one of image, text"),
    ):
        with pytest.raises(InputError, match=message):
            MemoryStore(colour_encoder(), **given)

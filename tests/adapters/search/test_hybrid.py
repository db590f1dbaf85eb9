"""Words and vectors together: both engines alike, names and ids first, typing errors, pages."""

import numpy as np
import pytest

from e2.adapters.search.engines import create_store
from e2.adapters.search.hybrid import fused, hybrid_search
from e2.adapters.search.index import ProductIndex
from e2.adapters.search.local_store import LocalStore
from e2.adapters.search.words import DatabaseText, in_memory, matches
from tests.adapters.search.conftest import entry, manifest, unit

TEXTS = [
    "Nike Men Blue Tshirts", "Nike Women Red Dress", "A warm jacket for winter days", "Two jackets, one of leather",
    "Puma Unisex Black Shoes", "Crème brûlée blouse", 'say "hi" AND (red OR NEAR dress*)', "Levi's slim jeans", "Dress",
]  # fmt: skip


@pytest.fixture
def shop(place):
    """Described products, in each engine."""
    vectors = unit(len(TEXTS) + 150)
    made = [
        entry(number, vector, product_id=f"SKU-{1000 + number}", caption=caption, tags={"colour": "red" if number % 2 else ""})
        for number, (vector, caption) in enumerate(zip(vectors, TEXTS + [f"filler {n}" for n in range(150)], strict=True))
    ]
    store = create_store(place, manifest())
    store.write(made)
    store.finish()
    index = ProductIndex(store)
    yield index, made
    index.close()


def by_words(index, text, where=None, most=20):
    return [int(name.removeprefix("SKU-")) - 1000 for name in index.words(text, most, where).ranked]


@pytest.mark.parametrize(
    ("text", "first", "corrected"),
    [
        ("red dress", [1, 6], {}),
        ("JACKET", [2, 3], {}),
        ("jakcets", [2, 3], {"jakcets": "jackets"}),
        ("jaket", [2, 3], {"jaket": "jacket"}),
        ("jackket", [2, 3], {"jackket": "jacket"}),
        ("Nkie dress", [1], {"Nkie": "nike"}),
        ("Nkie shoes", [], {"Nkie": "nike"}),
        ("creme brulee", [5], {}),
        ("the jackets of a winter", [2], {}),
        ("of the", [], {}),
        ("sku-1004", [4], {}),
        ("Nike Women Red Dress", [1], {}),
        ("t shirts", [0], {}),
        ("slimjeans", [7], {"slimjeans": "slim jeans"}),
    ],
)
def test_words_find_products(shop, text, first, corrected):
    index, _ = shop
    found = index.words(text, 20)
    assert by_words(index, text)[: len(first) or None] == first and found.corrected == corrected


def test_small_words_are_never_corrected():
    lines = [("1", "Lime dress, thin, full width", "lime"), ("2", "Form of a line", "lime")]
    found = matches(DatabaseText(in_memory(["colour"], lines), slice(None)), "like this dress with", 5)
    assert (found.ranked, found.corrected) == (["1"], {})


def test_a_word_of_any_length_costs_little():
    connection = in_memory([], [("1", "a dress")])
    asked = []
    connection.set_trace_callback(asked.append)
    matches(DatabaseText(connection, slice(None)), "".join(chr(0x4E00 + letter) for letter in range(60)), 5)
    assert len(asked) < 100


def test_an_id_or_a_whole_name_comes_first_wherever_its_vector_lies(shop):
    index, made = shop
    away = -made[8].vector[None]
    for text in ("SKU-1008", "sku-1008", " dress ", "DRESS"):
        hits = hybrid_search(index, away, text, 3).hits
        assert hits[0].product_id == "SKU-1008" and hits[0].score == pytest.approx(-1, abs=1e-4)


def test_words_pass_the_filter_and_follow_changes(shop):
    index, made = shop
    assert by_words(index, "jackets", 'colour == "red"') == [3]
    index.delete(["SKU-1003"])
    index.store.write([entry(4, made[4].vector, product_id="SKU-1004", caption="a jacket", tags={})])
    index.store.finish()
    assert sorted(by_words(index, "jackets")) == [2, 4] and by_words(index, "puma") == []


@pytest.mark.parametrize(
    "text", ["", " ", '"', "*", "a* OR", "NEAR(", "-", "{x} : y", "\x00", "' ; DROP TABLE words", "\ud800", "颜色"]
)
def test_no_text_is_taken_for_syntax(shop, text):
    index, _ = shop
    index.words(text, 5)
    assert len(hybrid_search(index, unit(1, seed=5), text, 5).hits) == 5


def test_pages_join_to_the_whole_and_no_product_is_lost(shop):
    index, made = shop
    query = unit(1, seed=3)
    whole = [hit.product_id for hit in hybrid_search(index, query, "red dress", 1000).hits]
    assert sorted(whole) == sorted(e.product_id for e in made)
    pages = [hybrid_search(index, query, "red dress", 7, None, start).hits for start in range(0, 161, 7)]
    assert [hit.product_id for page in pages for hit in page] == whole
    by_id = {e.product_id: e.vector for e in made}
    for hit in pages[0]:
        assert hit.score == pytest.approx(float(by_id[hit.product_id] @ query[0]), abs=1e-5)


def test_both_engines_find_the_same(tmp_path):
    pytest.importorskip("milvus_lite", reason="Milvus Lite stands in for a server")
    answers = []
    for place in (tmp_path / "index", tmp_path / "lite.db" / "shop"):
        store = create_store(str(place), manifest())
        vectors = unit(len(TEXTS))
        store.write([entry(n, v, caption=text) for n, (v, text) in enumerate(zip(vectors, TEXTS, strict=True))])
        store.finish()
        index = ProductIndex(store)
        merged = [hybrid_search(index, unit(1, seed=7), text, 9) for text in ("red dress", "jakcets", "id 4", "red OR blue")]
        answers.append([hit for found in merged for hit in found.hits])
        index.close()
    local, remote = answers
    assert [hit.product_id for hit in local] == [hit.product_id for hit in remote]
    assert [hit.score for hit in local] == pytest.approx([hit.score for hit in remote], abs=1e-5)


def test_reciprocal_ranks_against_a_naive_sum():
    rng = np.random.default_rng(0)
    lists = [[str(n) for n in rng.permutation(20)[:12]] for _ in range(2)]
    naive = {
        name: sum(w / (60 + ranked.index(name) + 1) for ranked, w in zip(lists, (1.0, 0.5), strict=True) if name in ranked)
        for name in {*lists[0], *lists[1]}
    }
    found = fused(lists, [1.0, 0.5])
    assert [naive[name] for name in found] == pytest.approx(sorted(naive.values(), reverse=True))


def test_an_index_of_an_earlier_version_is_searched_by_its_vectors(tmp_path):
    store = create_store(str(tmp_path / "index"), manifest())
    store._database.connection.executescript(
        "DROP TRIGGER words_added; DROP TRIGGER words_removed; DROP TRIGGER words_moved; DROP TABLE words"
    )
    vectors = unit(3)
    store.write([entry(number, vector) for number, vector in enumerate(vectors)])
    index = ProductIndex(store)
    assert index.words("product", 3).ranked == []
    assert hybrid_search(index, vectors[:1], "product", 1).hits[0].product_id == "id 0"
    index.close()


def test_words_stay_with_their_products_when_rows_are_renumbered(tmp_path, monkeypatch):
    monkeypatch.setattr("e2.adapters.search.local_store.EXACT", 2)
    monkeypatch.setattr(LocalStore, "_cluster", lambda self: None)  # FAISS makes none of a handful
    store = create_store(str(tmp_path / "index"), manifest())
    vectors = unit(len(TEXTS))
    products = [entry(n, v, caption=text) for n, (v, text) in enumerate(zip(vectors, TEXTS, strict=True))]
    store.write(products)
    store.write(products)
    store.delete(["id 0", "id 1"])
    store.finish()
    index = ProductIndex(store)
    assert store._database.fact("generation") == 1
    assert sorted(index.words("jackets", 5).ranked) == ["id 2", "id 3"] and index.words("tshirts", 5).ranked == []
    index.close()

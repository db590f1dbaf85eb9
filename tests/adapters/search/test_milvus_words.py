"""Full text on Milvus: the products that the folder engine finds, and what happens on servers without it."""

import itertools
import random

import pytest

from e2.adapters.search.engines import create_store, open_store
from e2.adapters.search.filters import equals
from e2.adapters.search.index import ProductIndex
from e2.adapters.search.milvus_reader import MilvusReader
from e2.adapters.search.milvus_server import Server
from e2.adapters.search.milvus_words import MOST_BYTES, ServerText, has_full_text, terms_of
from e2.adapters.search.words import Tokens, matches
from e2.errors import InputError
from tests.adapters.search.conftest import entry, manifest, place_in, unit

VOCABULARY = [
    "red", "blue", "Dress", "dresses", "jacket", "jackets", "T-shirt", "tshirt", "t", "shirt", "slim", "jeans", "crème",
    "creme", "straße", "Ünï", "颜色", "颜", "the", "of", "with", "new_in", "501", "SKU-7", "running", "run", "universities",
]  # fmt: skip
COLOURS = ("red", "dark blue", "red | dark blue", "")
QUERIES = (
    "red dress", "DRESSES", "t shirt", "tshirts", "slimjeans", "jakcet", "runing jackets", "creme", "Crème of the", "strasse",
    "straße", "unï", "颜色", "颜", "new in", "501", "sku 7", "SKU-7", "universal", "universitys", "red | blue", "the",
    "dark blue jeans", "-", "y" * 40, "dress red the new", "id 3", "slim jeans 颜色 run", "_", "\u0e33", "jeans\u0300slim",
)  # fmt: skip


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """Stores with the same 240 products of few words, one in the folder engine and one in Milvus Lite."""
    folder, draw = tmp_path_factory.mktemp("both"), random.Random(0)
    products = []
    for number, vector in enumerate(unit(240)):
        words = draw.choices(VOCABULARY, k=draw.randint(0, 6))
        caption = {3: "Red", 5: "slim jeans", 7: "y" * 40}.get(number, " ".join(words))
        colour = "red" if number in (3, 5) else draw.choice(COLOURS)
        products.append(entry(number, vector, caption=caption, tags={"colour": colour}))
    stores = [create_store(place_in(engine, folder)[0], manifest()) for engine in ("local", "lite")]
    for store in stores:
        store.write(products)
        store.finish()
    yield stores
    for store in stores:
        store.close()


def found(store, text, where=None, **options):
    """Sorted ids of the products that words name and match, and corrections of their spelling."""
    words = store.words(text, 1000, where) if not options else matches(on_server(store, where, **options), text, 1000)
    return sorted(words.named), sorted(words.ranked), words.corrected


def on_server(store, where, **options):
    reader = store._reader
    return ServerText(reader._call, reader._tokens, reader.expression(where), **options)


@pytest.mark.parametrize("text", QUERIES)
def test_both_engines_find_the_same_by_any_words(both, text):
    local, remote = both
    assert found(local, text) == found(remote, text) == found(remote, text, scans=False)


@pytest.mark.parametrize(
    ("text", "named", "corrected"),
    [
        ("slimjeans", 1, {"slimjeans": "slim jeans"}),
        ("runing jackets", 0, {"runing": "running"}),
        ("Red", 1, {}),
        ("id 3", 1, {}),
    ],
)
def test_they_find_them_under_a_filter(both, text, named, corrected):
    local, remote = (found(store, text, equals({"colour": ["red", "dark blue"]})) for store in both)
    assert local == remote and (len(local[0]), local[2]) == (named, corrected) and local[1]


def test_fewer_other_words_come_first_in_both_engines(tmp_path):
    """Products that match alike are ordered by the number of their other words."""
    orders = []
    for engine in ("local", "lite"):
        store = create_store(place_in(engine, tmp_path)[0], manifest())
        captions = ["silk dress" + " word" * number for number in (4, 0, 3, 1, 2)] + ["others"] * 20
        vectors = unit(len(captions))
        store.write([entry(number, vectors[number], caption=text, tags={}) for number, text in enumerate(captions)])
        store.finish()
        orders.append(store.words("silk dresses", 4, None).ranked)
        store.close()
    assert orders == 2 * [["id 1", "id 3", "id 4", "id 2"]]


def test_no_client_rereads_texts_and_a_search_costs_few_calls(both, monkeypatch):
    remote, called, call = both[1], [], Server.call
    monkeypatch.setattr(MilvusReader, "pages", lambda *_: pytest.fail("texts were read"))
    monkeypatch.setattr(Server, "call", lambda server, name, *a, **o: called.append(name) or call(server, name, *a, **o))
    remote.write([entry(0, unit(1)[0], caption="slim jeans", tags={})])
    for text, most in (("slim jeans", 3), ("jakcet", 6)):
        called.clear()
        assert remote.words(text, 5, None).ranked and len(called) <= most


def test_a_long_text_is_cut_behind_the_id_and_the_tags():
    terms = terms_of(Tokens(), [["sku 7", "straße " * 9000, "Nike"], ["8", "x" * 99, ""]])
    assert " . sku 7 . nike . " in terms[0] and MOST_BYTES - 20 < len(terms[0]) <= MOST_BYTES and terms[0].endswith(" ")
    assert max(map(len, itertools.chain(*(text.split() for text in terms)))) == 17 and all(map(str.isascii, terms))


@pytest.fixture(params=["refuses", "leaves out"])
def old(request, monkeypatch):
    """A server that does not know full text: of version 2.3 and before, or of 2.4."""
    call = Server.call

    def without(server, name, *arguments, **options):
        if name == "create_collection" and (schema := options["schema"]).functions:
            if request.param == "refuses":
                raise InputError("data type: SparseFloatVector is not supported")
            schema.functions.clear()
            options["index_params"] = type(options["index_params"])(
                [each for each in options["index_params"] if each.field_name == "vector"]
            )
        return call(server, name, *arguments, **options)

    monkeypatch.setattr(Server, "call", without)
    yield
    monkeypatch.undo()


def test_words_are_searched_here_where_the_server_cannot(old, tmp_path, monkeypatch):
    pytest.importorskip("milvus_lite", reason="Milvus Lite stands in for a server")
    place = place_in("lite", tmp_path)[0]
    store = create_store(place, manifest())
    store.write(
        [
            entry(number, vector, caption=f"{'red' if number else 'blue'} dresses", tags={})
            for number, vector in enumerate(unit(3))
        ]
    )
    store.finish()
    assert len(store._server.call("list_collections")) == 1
    assert not has_full_text(store._call("describe_collection"))
    store.close()
    monkeypatch.undo()
    store = open_store(place)  # of today's server: an existing index goes on as it was
    assert sorted(ProductIndex(store).words("red dress", 5).ranked) == ["id 1", "id 2"]
    store.write([entry(3, unit(1)[0], caption="a red dress")])
    assert len(store.words("derss red", 5, None).ranked) == 3
    store.close()


def test_a_server_that_goes_away_is_told_and_waited_for_once(tmp_path, monkeypatch):
    pytest.importorskip("milvus_lite", reason="Milvus Lite stands in for a server")
    call, tries = Server.call, []

    def away(server, name, *arguments, **options):
        if name in ("create_collection", "has_collection"):
            tries.append(name)
            raise InputError("no Milvus server answers")
        return call(server, name, *arguments, **options)

    monkeypatch.setattr(Server, "describe", lambda *_: None)
    monkeypatch.setattr(Server, "call", away)
    with pytest.raises(InputError, match="no Milvus server answers"):
        create_store(place_in("lite", tmp_path)[0], manifest())
    assert tries.count("create_collection") == 1

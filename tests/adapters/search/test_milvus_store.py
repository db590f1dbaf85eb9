"""The Milvus engine: texts that reach its language, what it finds, what it replaces, what it says. See `conftest.place`."""

import base64
import io
import itertools
import os
import secrets

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from PIL import Image

from e2.adapters.search import milvus_collections, milvus_reader, milvus_server, milvus_store
from e2.adapters.search.address import shown
from e2.adapters.search.engines import create_store, open_store, resume_store
from e2.adapters.search.filters import OneOf, equals
from e2.adapters.search.index import ProductIndex, open_index
from e2.adapters.search.milvus_filter import SEVERAL, milvus_list, milvus_text
from e2.adapters.search.milvus_rows import TEXT_BYTES, WORD_BYTES, schema
from e2.adapters.search.milvus_server import Server
from e2.errors import InputError
from tests.adapters.search.conftest import ENTITIES, entry, manifest, removed, unit

HOSTILE = (
    "a'b",
    'a"b',
    "'; DROP TABLE products; --",
    "' or product_id != '",
    '"] or product_id in ["plain',
    "a\\",
    "\\",
    "a\\u0041",
    "\\x41",
    "a\nb\r\tc",
    "\x00",
    "\x1b[31m",
    "",
    " lead",
    "日本 é e\u0301 \u202e \u2028 👠",
    "%",
    "{x}",
    "$meta",
    "and",
    "[1]",
    "plain",
)
TEXTS = st.text(alphabet=st.one_of(st.sampled_from("\"'\\%{}[]()\n\r\t\0 nux0$"), st.characters(codec="utf-8")), max_size=12)


@pytest.fixture
def milvus(place):
    """The places of Milvus alone."""
    if place.startswith("/") and ".db" not in place:
        pytest.skip("is not a Milvus")
    return place


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """The same hostile products in the folder engine and in Milvus Lite, to which fuzzing adds."""
    pytest.importorskip("milvus_lite")
    folder = tmp_path_factory.mktemp("both")
    stores = [create_store(str(place), manifest()) for place in (folder / "index", folder / "lite.db" / "shop")]
    named = zip(HOSTILE, unit(len(HOSTILE)), strict=True)
    products = [entry(0, vector, product_id=f"id{text}", caption=text, tags={"brand": text}) for text, vector in named]
    for store in stores:
        store.write(products)
        store.finish()
    indexes = [ProductIndex(store) for store in stores]
    yield indexes
    for index in indexes:
        index.close()


def same(indexes, product_id: str, brand: str):
    """What both engines tell of an id and a tag."""
    local, remote = (
        (
            index.get([product_id]),
            list(index.store.digests([product_id])),
            index.thumbnail(product_id),
            [{hit.product_id for hit in index.search(unit(1), 50, where)[0]} for where in filters(brand)],
            [index.facets(where) for where in filters(brand)],
            len(index),
        )
        for index in indexes
    )
    assert local == remote
    return local


def filters(brand):
    return [None, equals({"brand": brand}), equals({"brand": [brand, "plain"], "colour": "red"})]


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_texts_are_found_by_id_and_tag(both, text):
    found = same(both, f"id{text}", text)
    assert [(hit.caption, hit.tags.get("brand", "")) for hit in found[0]] == [(text, text)]
    if text:
        assert found[3][1] == {f"id{text}"}


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(TEXTS.filter(bool), TEXTS, TEXTS)
@example("x", "half a surrogate \ud800", "")
def test_both_engines_answer_alike_whatever_the_text(both, product_id, brand, caption):
    same(both, product_id, brand)  # none there yet, most likely
    if all(text.encode(errors="ignore").decode() == text for text in (product_id, brand, caption)):
        made = entry(1, unit(1, seed=len(product_id))[0], product_id=product_id, caption=caption, tags={"brand": brand})
        for index in both:
            index.store.write([made])
        assert same(both, product_id, brand)[0][0].caption == caption
        assert [index.delete([product_id]) for index in both] == [1, 1]
    assert same(both, product_id, brand)[0] == []


def test_every_value_is_escaped():
    assert milvus_text('a"\\\n') == r'"a\"\\\n"'
    assert milvus_list(["'", "\ud800"]) == """["'"]"""


def test_a_collection_without_lists_of_values_is_refused_and_replaced(milvus, monkeypatch):
    """Those of earlier versions; their filters were refused by servers of version 2.3."""
    earlier = schema(manifest(), full_text=False)
    monkeypatch.setattr(milvus_collections, "schema", lambda manifest, full_text: without(earlier, SEVERAL))
    with pytest.raises(InputError, match="was built by an earlier version; build it again by e2 index build --overwrite"):
        create_store(milvus, manifest())
    monkeypatch.undo()
    store = create_store(milvus, manifest(), overwrite=True)
    store.finish()
    store.close()
    ProductIndex(open_store(milvus)).close()


def without(schema, field):
    """The schema of a collection without a field."""
    from pymilvus import MilvusClient

    fewer = MilvusClient.create_schema(auto_id=False, enable_dynamic_field=False)
    for each in schema.fields:
        if each.name != field:
            fewer.add_field(each.name, each.dtype, is_primary=each.is_primary, **each.params)
    return fewer


def test_all_ids_are_gone_through(milvus, monkeypatch):
    """The tags of all products are read page by page, by id."""
    monkeypatch.setattr(milvus_reader, "ROWS_AT_ONCE", 3)
    index = ProductIndex(create_store(milvus, manifest()))
    named = zip(HOSTILE, unit(len(HOSTILE)), strict=True)
    products = [entry(1, vector, product_id=f"id{text}", tags={"brand": f"b{text}"}) for text, vector in named]
    index.store.write(products[:9])
    index.store.finish()
    index.store.write(products[9:])
    assert index.facets()["brand"] == {f"b{text}": 1 for text in sorted(HOSTILE, key=lambda text: f"b{text}")}
    assert index.facets(OneOf("brand", ("b%",)))["brand"] == {"b%": 1} and index.count(OneOf("brand", ("b%",))) == 1
    index.close()


@pytest.mark.parametrize("exact", [10**6, 1000])
def test_a_filter_loses_no_product(milvus, monkeypatch, exact):
    """Whether every vector is looked at, or clusters are."""
    monkeypatch.setattr(milvus_store, "EXACT", exact)
    store = create_store(milvus, manifest())
    vectors = unit(1030, seed=4)  # 128 clusters, all that Milvus Lite knows
    colours = ("red", *11 * ["blue"])
    products = [entry(number, vector, tags={"colour": colours[number % 12]}) for number, vector in enumerate(vectors)]
    store.write(products)
    store.finish()
    index = ProductIndex(store)
    assert (store._clusters > 1) == (exact < 1030)
    if milvus.startswith("http"):  # Milvus Lite does not tell
        assert open_store(milvus)._clusters == store._clusters
    passing = [made for made in products if made.tags.get("colour") == "red"]
    for query in unit(5, seed=6):
        scores = np.array([made.vector @ query for made in passing])
        best = [passing[place].product_id for place in np.argsort(-scores)]
        assert [hit.product_id for hit in index.search(query, 500, 'colour == "red"')[0]] == best
        assert [hit.product_id for hit in index.search(query, 20, 'colour == "red"')[0]] == best[:20]
    index.close()


@pytest.mark.parametrize(
    ("products", "dim", "clusters"), [(1_000_001, 128, 4000), (1_000_001, 512, 2896), (100_000_000, 512, 2896)]
)
def test_clusters_are_those_of_a_segment(products, dim, clusters):
    """A server makes at most one cluster for 39 vectors of a segment: of 40,000 wanted, an eighth would be all there are."""
    assert milvus_store.clusters_of(products, dim) == clusters
    in_a_segment = min(products, 2**30 // (4 * dim)) // 39
    assert clusters // milvus_store.SHARE < in_a_segment / 4


def test_a_filter_loses_no_product_that_is_not_ordered_yet(filled, milvus, monkeypatch):
    """A server may miss some of what was written since `finish`; few that pass are looked at one by one until the next."""
    index, entries = filled
    index.store._clusters = 4
    added = [entry(60 + number, vector) for number, vector in enumerate(unit(20, seed=7))]
    query, searched, call = unit(1, seed=8)[0], [], Server.call
    scores = {made.product_id: made.vector @ query for made in entries + added if made.tags.get("colour") == "red"}
    best = sorted(scores, key=scores.get, reverse=True)
    assert len(best) > 10
    monkeypatch.setattr(Server, "call", lambda server, name, *a, **o: searched.append(name) or call(server, name, *a, **o))
    writer = open_store(milvus) if "http" in milvus else index.store  # another process, where there may be one
    writer.write(added)
    for offset in (0, 3):
        assert [hit.product_id for hit in index.search(query, 7, 'colour == "red"', offset)[0]] == best[offset : offset + 7]
    assert "search" not in searched
    writer.finish()
    assert [hit.product_id for hit in index.search(query, 7, 'colour == "red"')[0]] == best[:7]
    assert "search" in searched


def test_fewer_hits_than_pass_are_not_given(filled, monkeypatch):
    """Where the server's index forgets some, as an HNSW does under a filter, every vector is looked at."""
    index, _ = filled
    if not hasattr(index.store, "_server"):
        pytest.skip("is not a Milvus")
    where, query = 'colour == "red"', unit(2, seed=3)
    whole = index.search(query, 50, where)
    called = index.store._server.call

    def forgetful(name, *arguments, **options):
        answer = called(name, *arguments, **options)
        return [list(hits)[:3] for hits in answer] if name == "search" else answer

    monkeypatch.setattr(index.store._server, "call", forgetful)
    for found, expected in zip(index.search(query, 50, where), whole, strict=True):
        assert [hit.product_id for hit in found] == [hit.product_id for hit in expected] and len(found) > 3
    paged = index.search(query[0], 5, where, offset=2)[0]
    assert [hit.product_id for hit in paged] == [hit.product_id for hit in whole[0]][2:7]


def test_what_replaces_is_seen_only_when_whole(filled, milvus):
    index, _ = filled
    reader = open_index(milvus)
    before = reader.generation
    store = create_store(milvus, manifest(data="other"), overwrite=True)
    store.write([entry(0, unit(1)[0], product_id="new")])
    assert (len(open_index(milvus)), reader.generation, len(reader.search(unit(1), 99)[0])) == (60, before, 60)
    store.close()
    again = resume_store(milvus)  # the process died
    assert list(again.digests(["new"])) == ["new"] and again.manifest.data == "other" and not again.manifest.complete
    again.finish()
    assert reader.generation != before and len(open_index(milvus)) == 1
    with pytest.raises(InputError, match="was replaced or removed"):
        reader.search(unit(1), 5)
    assert len(collections(milvus)) == 1
    again.write([entry(0, unit(1)[0], product_id="newer")])  # goes on being the index
    assert len(open_index(milvus)) == 2


def collections(place):
    server = Server(place)
    found = [name for name in server.call("list_collections") if name.startswith(f"{server.collection}_e2_")]
    server.close()
    return found


def test_what_a_dead_overwrite_left_is_removed_by_the_next(filled, milvus):
    for name in ("first", "second"):
        store = create_store(milvus, manifest(), overwrite=True)
        store.write([entry(0, unit(1)[0], product_id=name)])
    assert resume_store(milvus).digests(["first", "second"]) == {"second": "digest 0"}
    store.finish()
    assert [hit.product_id for hit in open_index(milvus).search(unit(1), 9)[0]] == ["second"]
    assert len(collections(milvus)) == 1


@pytest.mark.parametrize("first", [0, 1])
def test_of_two_builds_that_replace_an_index_the_first_to_finish_does(filled, milvus, first):
    stores = [create_store(milvus, manifest(), overwrite=True) for _ in range(2)]
    for number, store in enumerate(stores):
        store.write([entry(number, unit(1)[0], product_id=f"of {number}")])  # neither removes what the other has written
    stores[first].finish()
    for go_on in (lambda: stores[1 - first].write([entry(9, unit(1)[0])]), stores[1 - first].finish):
        with pytest.raises(InputError, match="was replaced or removed meanwhile by another process"):
            go_on()
    assert [hit.product_id for hit in open_index(milvus).search(unit(1), 9)[0]] == [f"of {first}"]
    assert len(collections(milvus)) == 1


def test_a_build_that_comes_to_its_end_second_is_told(filled, milvus, monkeypatch):
    """Also where the first did not see it, and so did not remove it."""
    first, second = (create_store(milvus, manifest(), overwrite=True) for _ in range(2))
    monkeypatch.setattr(first, "_others", lambda: [])
    first.finish()
    with pytest.raises(InputError, match="another build of it was finished first, and stands"):
        second.finish()
    assert len(open_index(milvus)) == 0
    assert second._name not in collections(milvus)


def test_of_two_first_builds_the_later_is_told(milvus, monkeypatch):
    first = create_store(milvus, manifest())
    monkeypatch.setattr(milvus_server, "PASSING", set())  # Milvus Lite's code of a taken alias is among them
    describe = Server.describe
    monkeypatch.setattr(Server, "describe", lambda server, name: None)  # as the second would see it a moment earlier
    make = milvus_store.make_collection

    def late(server, record):
        monkeypatch.setattr(Server, "describe", describe)
        return make(server, record)

    monkeypatch.setattr(milvus_store, "make_collection", late)
    with pytest.raises(InputError, match="another process began to build it meanwhile"):
        create_store(milvus, manifest())
    first.write([entry(1, unit(1)[0])])
    first.finish()
    assert len(open_index(milvus)) == 1 and len(collections(milvus)) == 1


def test_two_processes_may_go_on_with_one_build(filled, milvus):
    create_store(milvus, manifest(), overwrite=True).close()
    stores = [resume_store(milvus) for _ in range(2)]
    for number, store in enumerate(stores):
        store.write([entry(number, unit(1)[0])])
    for store in stores:
        store.finish()
    assert len(open_index(milvus)) == 2


def test_a_collection_of_others_is_never_touched(milvus):
    from pymilvus import DataType, MilvusClient

    server = Server(milvus)
    schema = MilvusClient.create_schema()
    schema.add_field("key", DataType.INT64, is_primary=True)
    schema.add_field("vector", DataType.FLOAT_VECTOR, dim=16)
    foreign = f"{server.collection}_e2_{1:016x}"  # even one that is called like ours
    server.call("create_collection", foreign, schema=schema)
    server.call("create_alias", foreign, server.collection)
    for overwrite in (False, True):
        with pytest.raises(InputError, match="not an index of e2"):
            create_store(milvus, manifest(), overwrite=overwrite)
    for call in (open_store, resume_store):
        with pytest.raises(InputError, match="not an index that this version reads"):
            call(milvus)
    server.call("drop_alias", server.collection)
    create_store(milvus, manifest()).close()
    create_store(milvus, manifest(), overwrite=True).finish()
    assert server.describe(foreign) is not None
    server.close()


def test_a_collection_of_an_earlier_version_is_replaced(milvus):
    store = create_store(milvus, manifest())
    server = store._server
    server.call("drop_alias", server.collection)
    server.call("rename_collection", store._name, server.collection)
    replacing = create_store(milvus, manifest(), overwrite=True)
    replacing.write([entry(3, unit(1)[0])])
    replacing.finish()
    assert len(open_index(milvus)) == 1 and server.describe(server.collection)["collection_name"] != server.collection
    store.close()


def test_a_stopped_build_is_told_after_a_restart(filled, milvus):
    index, _ = filled
    assert open_index(milvus).manifest.complete
    index.store.write([entry(90, unit(1)[0])])
    assert not open_index(milvus).manifest.complete
    index.delete(["id 90"])
    assert not open_index(milvus).manifest.complete
    index.store.finish()
    assert open_index(milvus).manifest.complete
    index.delete(["id 3"])
    assert open_index(milvus).manifest.complete


def test_properties_are_not_those_an_alias_remembers(monkeypatch):
    """A server of 2.3 tells by an alias what a collection was before its last change."""

    class Client:
        def __init__(self, *arguments, **options): ...

        def has_collection(self, name, timeout):
            return True

        def describe_collection(self, name, timeout):
            return {"collection_name": "real", "properties": {"new": name == "real"}}

    monkeypatch.setattr(milvus_server, "MilvusClient", Client)
    assert Server("http://127.0.0.1:1/alias").describe("alias")["properties"]["new"]


def test_changes_of_another_store_are_noticed(filled, milvus):
    index, _ = filled
    reader = open_index(milvus)
    seen = {reader.generation}
    assert reader.facets()["brand"]["Nike"]
    for number, change in enumerate(
        (lambda: index.store.write([entry(91, unit(1)[0], tags={"brand": "new"})]), index.store.finish)
    ):
        change()
        seen.add(reader.generation)
        assert len(seen) == number + 2
    assert reader.facets()["brand"]["new"] == 1


def test_what_is_too_long_is_told_or_made_to_fit(milvus, capsys):
    store, vector = create_store(milvus, manifest()), unit(1)[0]
    noise = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (256, 256, 3), np.uint8)).save(noise, "JPEG", quality=100)
    assert len(base64.b64encode(noise.getvalue())) > TEXT_BYTES
    longest, caption = "é" * (WORD_BYTES // 2), "é" * TEXT_BYTES
    store.write([entry(1, vector, product_id=longest, caption=caption, tags={"brand": longest}, thumbnail=noise.getvalue())])
    (hit,) = store.get([longest]).values()
    assert (len(hit.caption.encode()), hit.tags["brand"]) == (TEXT_BYTES - 1, longest)
    assert "product éé" in (told := capsys.readouterr().err) and "131,070 bytes" in told
    with Image.open(io.BytesIO(store.thumbnail(longest))) as image:
        assert 100 < max(image.size) < 256
    for number, (changes, message) in enumerate(
        (
            ({"product_id": longest + "x"}, "its id has 4,097 bytes"),
            ({"tags": {"brand": longest + "x"}}, "its tag brand has 4,097 bytes"),
            ({"thumbnail": b"?" * TEXT_BYTES}, "too long, and no image"),
            ({"caption": "\ud800"}, "its description is not Unicode text"),
            ({"vector": vector[:3]}, "width 16"),
        )
    ):
        with pytest.raises(InputError, match=message):  # and nothing is written of its block
            store.write([entry(50 + number, vector), entry(2, **{"vector": vector, **changes})])
    assert len(store) == 1
    store.close()


def test_a_lite_file_of_another_process_is_told(tmp_path):
    fcntl = pytest.importorskip("fcntl")
    pytest.importorskip("milvus_lite")
    create_store(place := str(tmp_path / "lite.db" / "shop"), manifest()).close()
    assert len(open_index(place)) == 0
    other = tmp_path / "other.db"
    other.mkdir()
    with (other / "LOCK").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(InputError, match="is open in another process"):
            open_store(str(other))
    (tmp_path / "junk.db").write_text("junk")
    with pytest.raises(InputError, match="cannot be opened as Milvus Lite"):
        open_store(str(tmp_path / "junk.db"))


def error(status):
    import grpc
    from pymilvus import MilvusException

    class Refused(grpc.RpcError):
        def code(self):
            return status

    told = MilvusException(2, "Fail connecting to server with key s3@cret")
    told.__cause__ = Refused()
    return told


def test_what_goes_wrong_is_named_and_no_password_is_printed(monkeypatch):
    grpc = pytest.importorskip("grpc")
    place = "http://root:s3%40cret@127.0.0.1:1/shop"
    raised: list = []

    class Client:
        def __init__(self, uri, token="", timeout=None):
            assert uri == "http://127.0.0.1:1"
            if raised:
                raise raised[0]

        def query(self, *arguments, **options):
            raise raised[0]

    monkeypatch.setattr(milvus_server, "MilvusClient", Client)
    monkeypatch.setattr(milvus_server, "PAUSE", 0)
    monkeypatch.delenv("MILVUS_TOKEN", raising=False)
    cases = (
        (error(grpc.StatusCode.PERMISSION_DENIED), place, "knows the user but does not allow this: .*; ask for the right"),
        (error(grpc.StatusCode.UNAUTHENTICATED), "http://127.0.0.1:1/shop", "asks for a user or token in .MILVUS_TOKEN"),
        (error(grpc.StatusCode.UNAUTHENTICATED), place, "does not take the user or token of the address"),
        (error(grpc.StatusCode.UNAVAILABLE), place, "no Milvus server answers at http://127.0.0.1:1;"),
        (ValueError("bad root:s3@cret\nmore"), place, r"refused: bad \*\*\*$"),
    )
    for failure, where, message in cases:
        raised[:] = [failure]
        with pytest.raises(InputError, match=message) as caught:
            Server(where)
        assert "s3" not in str(caught.value) and "\n" not in str(caught.value) and caught.value.__cause__ is None
    raised.clear()
    server = Server(place)
    assert server.token == "root:s3@cret" and "s3" not in repr(server) + server.address + shown(place)
    assert shown(place) == "http://127.0.0.1:1/shop" and shown("runs/a@b//c") == "runs/a@b//c"


def test_a_server_that_asks_for_a_sign_in_gets_it(monkeypatch):
    """On a real one with ``authorizationEnabled``; ``$E2_MILVUS_ROOT`` is its address with user and password."""
    if not (root := os.environ.get("E2_MILVUS_ROOT")):
        pytest.skip("set E2_MILVUS_ROOT to http://USER:PASSWORD@HOST:PORT of a Milvus server that asks for a sign-in")
    monkeypatch.delenv("MILVUS_TOKEN", raising=False)
    address, name = shown(root), f"test_{secrets.token_hex(4)}"
    buyer, wrong = address.replace("//", f"//{name}:s3cret@"), "not-s3cret"
    server = Server(f"{root}/{name}")
    server.call("create_user", name, "s3cret")
    cases = (
        (f"{address}/{name}", "", "asks for a user or token in .MILVUS_TOKEN"),
        (f"{address}/{name}", f"root:{wrong}", "does not take the user or token of .MILVUS_TOKEN"),
        (f"{address}/{name}", wrong, "does not take the user or token of .MILVUS_TOKEN"),
        (f"{buyer.replace('s3cret', wrong)}/{name}", "", "does not take the user or token of the address"),
        (f"{buyer}/{name}", "", "knows the user but does not allow this: .*permission deny"),
    )
    for place, token, message in cases:
        monkeypatch.setenv("MILVUS_TOKEN", token)
        with pytest.raises(InputError, match=message) as caught:
            create_store(place, manifest())
        assert "s3cret" not in str(caught.value) and "\n" not in str(caught.value)
    server.call("drop_user", name)
    server.close()
    for place, token in ((f"{root}/{name}", ""), (f"{address}/{name}", root.removeprefix("http://").rpartition("@")[0])):
        monkeypatch.setenv("MILVUS_TOKEN", token)
        store = create_store(place, manifest(), overwrite=True)
        store.write([entry(0, unit(1)[0])])
        store.finish()
        assert len(open_index(place)) == 1
        store.close()
    removed(f"{root}/{name}")


def test_only_outages_are_tried_again_and_not_for_ever(monkeypatch):
    from pymilvus import MilvusException

    grpc = pytest.importorskip("grpc")
    calls = itertools.count()
    raised: list = []

    class Client:
        def __init__(self, *arguments, **options): ...

        def query(self, *arguments, timeout):
            assert 0 < timeout <= 30
            next(calls)
            if raised:
                raise raised.pop(0) if len(raised) > 1 else raised[0]
            return "answer"

    monkeypatch.setattr(milvus_server, "MilvusClient", Client)
    monkeypatch.setattr(milvus_server, "PAUSE", 0.01)
    server = Server("http://127.0.0.1:1/shop")
    raised[:] = [MilvusException(1, "cannot parse expression"), MilvusException(65535, "cannot parse")]
    raised.pop(0)
    with pytest.raises(InputError, match="refused: cannot parse"):
        server.call("query")
    assert next(calls) == 1  # once
    raised[:] = [MilvusException(106, "recovering"), MilvusException(106, "recovering"), MilvusException(65535, "no")]
    with pytest.raises(InputError, match="refused: no"):
        server.call("query", patience=30)
    for failure, message in (
        (error(grpc.StatusCode.UNAVAILABLE), "no Milvus server answers"),
        (MilvusException(101, "collection not loaded"), "is not ready: collection not loaded; .* continues with --resume"),
        (MilvusException(65535, "attempt #0: stack trace: /a/b.go:51"), "is not ready: attempt #0"),
    ):
        raised[:] = [failure]
        calls = itertools.count()
        with pytest.raises(InputError, match=message):
            server.call("query", patience=0.05)
        assert next(calls) > 1


def test_names_of_tags_may_be_any(milvus):
    store = create_store(milvus, manifest(entities=(names := ('a"b', "product_id", "日本"))))
    store.write([entry(1, unit(1)[0], tags=dict.fromkeys(names, "x"))])
    assert store.facets(OneOf('a"b', ("x",))) == {name: {"x": 1} for name in names} != dict.fromkeys(ENTITIES, {})
    store.close()

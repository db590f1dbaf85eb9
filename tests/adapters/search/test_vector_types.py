"""Vectors kept in fewer bits, against a naive rounding."""

import os

import numpy as np
import pytest

from e2.adapters.search import local_store, milvus_store, snapshot
from e2.adapters.search.engines import create_store, open_store
from e2.adapters.search.index import ProductIndex
from e2.adapters.search.local_store import LocalStore
from e2.adapters.search.milvus_server import Server
from e2.adapters.search.store import IndexTrouble
from e2.errors import InputError
from tests.adapters.search.conftest import entry, manifest, place_in, unit

DIM = 64
BYTES = {"float32": 4, "float16": 2, "int8": 1, "binary": 1}  # of a number in the file
NEAR = {"float32": 1e-6, "float16": 5e-4, "int8": 5e-3, "binary": 5e-3}  # of a score


def rounded(vectors, kind):
    """Rounds vectors as an index keeps them, number by number."""
    if kind == "float32":
        return vectors
    rows = []
    for vector in vectors.astype(np.float64):
        if kind != "float16":
            vector = np.array([round(x) for x in vector / max(abs(vector)) * 127])
        else:
            vector = np.array([float(np.float16(x)) for x in vector])
        rows.append(vector / np.sqrt((vector**2).sum()))
    return np.array(rows)


@pytest.fixture(scope="module")
def vectors():
    centres = unit(20, seed=5, dim=DIM)
    return (v := centres[np.arange(1500) % 20] + 0.6 * unit(1500, dim=DIM)) / np.linalg.norm(v, axis=1, keepdims=True)


@pytest.fixture(params=BYTES)
def kind(request):
    return request.param


def filled(store, vectors):
    store.write([entry(number, vector) for number, vector in enumerate(vectors)])
    store.finish()
    return store


def made(folder, vectors, kind):
    return filled(LocalStore.create(folder, manifest(dim=DIM, vector_type=kind)), vectors)


def best(vectors, queries, k):
    scores = queries @ vectors.T
    rows = np.argsort(-scores, axis=1)[:, :k]
    return [f"id {row}" for row in rows.ravel()], np.take_along_axis(scores, rows, 1).ravel()


def found(store, queries, k, where=None):
    hits = [hit for found in ProductIndex(store).search(queries, k, where) for hit in found]
    return [hit.product_id for hit in hits], np.array([hit.score for hit in hits])


@pytest.fixture
def few(monkeypatch):
    """Clusters from 200 products on."""
    for module in (local_store, snapshot):
        monkeypatch.setattr(module, "EXACT", 200)


@pytest.mark.parametrize("clusters", [False, True])
def test_hits_and_scores_are_those_of_the_rounded_vectors(kind, clusters, vectors, tmp_path, request):
    if clusters:
        request.getfixturevalue("few")
    store, queries = made(tmp_path / "i", vectors, kind), unit(40, seed=8, dim=DIM)
    assert bool(list(tmp_path.glob("i/*/clusters*"))) is clusters
    assert sum(file.stat().st_size for file in tmp_path.glob("i/*/vectors*")) == 1500 * DIM * BYTES[kind]
    (ids, scores), (wanted, exact) = found(store, queries, 10), best(rounded(vectors, kind), queries, 10)
    assert ids == wanted
    np.testing.assert_allclose(scores, exact, atol=1e-6)
    np.testing.assert_allclose(scores, best(vectors, queries, 10)[1], atol=NEAR[kind])
    red = [number for number in range(1500) if entry(number, vectors[0]).tags.get("colour") == "red"]
    ids, scores = found(store, queries, 10, 'colour == "red"')
    wanted, exact = best(rounded(vectors, kind)[red], queries, 10)
    assert ids == [f"id {red[int(name[3:])]}" for name in wanted]
    np.testing.assert_allclose(scores, exact, atol=1e-6)


def test_codes_of_a_bit_are_small(few, vectors, tmp_path):
    sizes = {}
    for kind in ("int8", "binary"):
        made(tmp_path / kind, vectors, kind)
        (file,) = tmp_path.glob(f"{kind}/*/clusters*")
        sizes[kind] = file.stat().st_size
    assert sizes["int8"] - sizes["binary"] >= 1500 * (DIM - DIM // 8 - 8)


def test_rows_are_rounded_once(kind, vectors, tmp_path, monkeypatch):
    store = made(tmp_path / "i", vectors, kind)
    before = ProductIndex(store).vectors(["id 1", "id 1499"])
    np.testing.assert_allclose(before, rounded(vectors[[1, 1499]], kind), atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(before, axis=1), 1, atol=1e-6)
    store.delete([f"id {number}" for number in range(0, 1500, 2)])
    monkeypatch.setattr(local_store, "EXACT", 0)
    store.finish()
    (file,) = tmp_path.glob("i/*/vectors-1.*")
    assert file.stat().st_size == 750 * DIM * BYTES[kind]
    np.testing.assert_array_equal(ProductIndex(store).vectors(["id 1", "id 1499"]), before)


def test_a_cut_file_is_named(kind, vectors, tmp_path):
    store = made(tmp_path / "i", vectors[:50], kind)
    store.close()
    (file,) = tmp_path.glob("i/*/vectors*")
    os.truncate(file, 50 * DIM * BYTES[kind] - 1)
    with pytest.raises(InputError, match=f"{file.name} is cut"):
        found(LocalStore.open(tmp_path / "i"), vectors[:1], 1)


def test_a_vector_of_zeros_is_kept(kind, tmp_path):
    store = made(tmp_path / "i", np.zeros((1, DIM), np.float32), kind)
    assert found(store, unit(1, dim=DIM), 1)[1].tolist() == [0]


@pytest.fixture(params=["lite", "server"])
def milvus(request, tmp_path):
    place, close = place_in(request.param, tmp_path)
    yield place
    close()


@pytest.mark.parametrize("exact", [10**6, 1000])
def test_both_engines_give_the_same_hits_and_scores(kind, exact, vectors, milvus, tmp_path, monkeypatch):
    """Compares all products, pages, filters and an update, with clusters on the server and without."""
    if kind == "binary" and exact == 1000 and "http" not in milvus:
        pytest.skip("Milvus Lite does not know codes of 1 bit, and looks at each vector instead")
    monkeypatch.setattr(milvus_store, "EXACT", exact)
    monkeypatch.setattr(milvus_store, "SHARE", 1)  # all clusters, as under a filter
    queries = unit(5, seed=8, dim=DIM)
    first = vectors[:1030]  # 128 clusters, all that Milvus Lite knows
    folder = made(tmp_path / "i", first, kind)
    try:
        server = filled(create_store(milvus, manifest(dim=DIM, vector_type=kind)), first)
    except InputError as error:
        if kind == "binary" and "has no index for binary vectors" in str(error):
            pytest.skip("a server of a version before 2.6")
        raise
    for change in ("none", "update"):
        if change == "update":
            for store in (folder, server):
                store.write([entry(number, vectors[number + 100]) for number in range(980, 1080)])
                store.delete(["id 3", "id 4"])
        for where in (None, 'colour == "red" or brand == ""'):
            for k, offset in ((10, 0), (30, 20), (250, 0)):
                both = [ProductIndex(store).search(queries, k, where, offset) for store in (folder, server)]
                for ours, theirs in zip(*both, strict=True):
                    assert [hit.product_id for hit in ours] == [hit.product_id for hit in theirs], (change, where, k)
                    np.testing.assert_allclose([h.score for h in ours], [h.score for h in theirs], atol=1e-6)
        ids = [f"id {number}" for number in (0, 299, 1040)][: 2 if change == "none" else 3]
        np.testing.assert_allclose(*(ProductIndex(store).vectors(ids) for store in (folder, server)), atol=1e-6)
    server.close()
    again = open_store(milvus)
    assert again.manifest.vector_type == kind
    again.close()


def test_a_server_that_has_no_such_codes_says_so(milvus, monkeypatch):
    """As those before version 2.6; nothing of the collection is left."""
    call = Server.call

    def refusing(server, name, *arguments, **options):
        made = call(server, name, *arguments, **options)
        if name == "create_collection":  # Milvus Lite takes an index of any name
            raise IndexTrouble("the Milvus server refused: invalid index type: IVF_RABITQ")
        return made

    if "http" not in milvus:
        monkeypatch.setattr(Server, "call", refusing)
    with pytest.raises(InputError, match="has no index for binary vectors; take --vector-type int8"):
        create_store(milvus, manifest(dim=DIM, vector_type="binary"))
    monkeypatch.undo()
    create_store(milvus, manifest(dim=DIM, vector_type="int8")).close()
    server = Server(milvus)
    assert len([name for name in server.call("list_collections") if name.startswith(f"{server.collection}_e2_")]) == 1
    server.close()

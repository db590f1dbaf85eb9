"""Vectors kept in fewer bits, against a naive rounding."""

import os

import numpy as np
import pytest

from e2.adapters.search import local_store, snapshot
from e2.adapters.search.engines import create_store
from e2.adapters.search.index import ProductIndex
from e2.adapters.search.local_store import LocalStore
from e2.errors import InputError
from tests.adapters.search.conftest import entry, manifest, unit

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


def test_milvus_gives_the_same_hits_and_says_that_it_keeps_float32(kind, vectors, tmp_path):
    pytest.importorskip("milvus_lite", reason="Milvus Lite stands in for a server")
    place, queries = str(tmp_path / "lite.db" / "shop"), unit(5, seed=8, dim=DIM)
    if kind != "float32":
        with pytest.raises(InputError, match=rf"keeps float32 vectors, not {kind}; leave out --vector-type"):
            create_store(place, manifest(dim=DIM, vector_type=kind))
    server = filled(create_store(place, manifest(dim=DIM)), vectors[:300])
    (ids, scores), (others, their) = found(made(tmp_path / "i", vectors[:300], kind), queries, 10), found(server, queries, 10)
    server.close()
    assert len(set(ids) & set(others)) >= 0.9 * len(set(others))
    np.testing.assert_allclose(scores, their, atol=NEAR[kind])

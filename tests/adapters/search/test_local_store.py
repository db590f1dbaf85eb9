"""The embedded engine on disk: many products, several processes, deaths, damage."""

import contextlib
import os
import signal
import sqlite3

import numpy as np
import pytest

from e2.adapters.search import local_store, snapshot
from e2.adapters.search.database import Database
from e2.adapters.search.engines import create_store
from e2.adapters.search.index import ProductIndex, open_index
from e2.adapters.search.local_store import LocalStore
from e2.adapters.search.vector_files import VectorFiles
from e2.errors import InputError
from tests.adapters.search.conftest import entry, manifest, unit


@pytest.fixture
def small(monkeypatch):
    """Clusters from 200 products on."""
    for module in (local_store, snapshot):
        monkeypatch.setattr(module, "EXACT", 200)


@pytest.fixture
def vectors():
    centres = unit(20, seed=5)
    return (v := centres[np.arange(1500) % 20] + 0.1 * unit(1500)) / np.linalg.norm(v, axis=1, keepdims=True)


def made(folder, vectors):
    store = LocalStore.create(folder, manifest())
    store.write([entry(number, vector) for number, vector in enumerate(vectors)])
    store.finish()
    return store


def best(vectors, queries, k, kept=None):
    scores = queries @ vectors.T
    if kept is not None:
        scores[:, [number for number in range(len(vectors)) if number not in kept]] = -9
    return [{f"id {number}" for number in row} for row in np.argsort(-scores, axis=1)[:, :k]]


def found(store, queries, k, where=None):
    return [{hit.product_id for hit in hits} for hits in ProductIndex(store).search(queries, k, where)]


def recall(a, b):
    return np.mean([len(x & y) / len(y) for x, y in zip(a, b, strict=True)])


def test_clusters_find_nearly_all_with_exact_scores(small, vectors, tmp_path):
    store = made(tmp_path / "i", vectors)
    assert len(list(tmp_path.glob("i/*/clusters-0-1500-1500.faiss"))) == 1
    queries = unit(40, seed=8)
    assert recall(found(store, queries, 10), best(vectors, queries, 10)) > 0.99
    kept = {number for number in range(1500) if entry(number, vectors[0]).tags.get("colour") == "red"}
    assert len(kept) > 200
    assert recall(found(store, queries, 10, 'colour == "red"'), best(vectors, queries, 10, kept)) > 0.99
    hit = ProductIndex(store).search(queries[0], 1)[0][0]
    assert hit.score == pytest.approx(float(vectors[int(hit.product_id[3:])] @ queries[0]), abs=1e-6)


def test_what_clusters_do_not_hold_yet_is_found(small, vectors, tmp_path):
    store = made(tmp_path / "i", vectors[:1000])
    store.write([entry(number, vectors[number]) for number in range(1000, 1500)])
    store.delete([f"id {number}" for number in range(100)])
    queries = unit(40, seed=8)
    exact = best(vectors, queries, 10, set(range(100, 1500)))
    assert recall(found(store, queries, 10), exact) > 0.99
    store.finish()
    assert [path.name for path in tmp_path.glob("i/*/clusters*")] == ["clusters-0-1500-1000.faiss"]
    assert recall(found(store, queries, 10), exact) > 0.99
    again = LocalStore.open(tmp_path / "i")
    assert recall(found(again, queries, 10), exact) > 0.99


def test_damaged_clusters_cost_speed_only(small, vectors, tmp_path):
    made(tmp_path / "i", vectors).close()
    (path,) = tmp_path.glob("i/*/clusters*")
    path.write_bytes(path.read_bytes()[:100])
    queries = unit(10, seed=8)
    assert found(LocalStore.open(tmp_path / "i"), queries, 10) == best(vectors, queries, 10)


def test_dead_rows_are_given_back(small, vectors, tmp_path):
    store = made(tmp_path / "i", vectors)
    before = (store.build / "vectors-0.f32").stat().st_size
    store.delete([f"id {number}" for number in range(0, 1500, 2)])
    store.write([entry(number, vectors[number]) for number in range(1, 600, 2)])  # replaced by themselves
    store.finish()
    assert [path.name for path in tmp_path.glob("i/*/vectors*")] == ["vectors-1.f32"]
    assert (store.build / "vectors-1.f32").stat().st_size == before / 2
    queries = unit(40, seed=8)
    assert recall(found(store, queries, 10), best(vectors, queries, 10, set(range(1, 1500, 2)))) > 0.99
    index = ProductIndex(store)
    np.testing.assert_array_equal(index.vectors(["id 1", "id 1499"]), vectors[[1, 1499]])
    assert index.thumbnail("id 1499") == entry(1499, vectors[0]).thumbnail


def test_a_reader_sees_another_process_write(vectors, tmp_path):
    writer = made(tmp_path / "i", vectors[:20])
    reader = LocalStore.open(tmp_path / "i")
    assert found(reader, vectors[30:31], 20) == [{f"id {number}" for number in range(20)}]
    writer.write([entry(30, vectors[30])])
    assert found(reader, vectors[30:31], 1) == [{"id 30"}] and len(reader) == 21
    writer.delete(["id 30"])
    assert found(reader, vectors[30:31], 1) != [{"id 30"}]


@pytest.mark.parametrize(("owner", "point"), [(VectorFiles, "append"), (Database, "set"), (Database, "remove")])
@pytest.mark.parametrize("manner", ["before", "after"])
def test_a_write_that_is_killed_leaves_nothing(vectors, tmp_path, owner, point, manner):
    made(tmp_path / "i", vectors[:20]).close()
    child = os.fork()
    if not child:
        original = getattr(owner, point)

        def killed(*args):
            if manner == "after":
                original(*args)
            os.kill(os.getpid(), signal.SIGKILL)

        setattr(owner, point, killed)
        LocalStore.open(tmp_path / "i").write([entry(number, vectors[number + 100]) for number in range(10, 40)])
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    store = LocalStore.open(tmp_path / "i")
    assert found(store, vectors[10:11], 50) == [{f"id {number}" for number in range(20)}]
    store.write([entry(number, vectors[number]) for number in range(15, 30)])
    assert found(store, vectors[25:26], 1) == [{"id 25"}] and len(store) == 30
    np.testing.assert_array_equal(store.vectors(["id 29"])["id 29"], vectors[29])


def test_a_cut_file_of_vectors_is_told(vectors, tmp_path):
    store = made(tmp_path / "i", vectors[:20])
    os.truncate(store.build / "vectors-0.f32", 100)
    with pytest.raises(InputError, match="is cut or missing; build the index again"):
        found(LocalStore.open(tmp_path / "i"), vectors[:1], 1)


def test_an_index_of_a_later_version_is_refused(tmp_path):
    with pytest.raises(InputError, match="not an index that this version reads"):
        LocalStore.create(tmp_path / "i", manifest(format=99))


@pytest.mark.parametrize(
    "damage",
    [
        "DELETE FROM facts WHERE name = 'next_row'",
        "DELETE FROM facts WHERE name = 'manifest'",
        "UPDATE facts SET value = '-5' WHERE name = 'next_row'",
        "UPDATE facts SET value = json_set(value, '$.entities', 5) WHERE name = 'manifest'",
        "UPDATE facts SET value = json_set(value, '$.encoder', null) WHERE name = 'manifest'",
        "UPDATE products SET caption = CAST(x'c3' AS TEXT)",
    ],
)
def test_a_damaged_database_is_told_in_one_line(damage, tmp_path):
    store = create_store(str(tmp_path / "index"), manifest())
    store.write([entry(0, unit(1)[0])])
    store.close()
    with contextlib.closing(sqlite3.connect(store.build / "products.sqlite")) as connection:
        connection.executescript(damage)
    with pytest.raises(InputError, match="build it a"):
        open_index(tmp_path / "index").search(unit(1))

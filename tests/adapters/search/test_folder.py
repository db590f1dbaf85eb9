"""What an index folder does with files of others, and how one index takes the place of another."""

import os
import signal

import numpy as np
import pytest

from e2.adapters.search.engines import create_store, open_store, resume_store
from e2.adapters.search.folder import IndexFolder
from e2.adapters.search.index import ProductIndex
from e2.adapters.search.local_store import LocalStore
from e2.errors import InputError
from tests.adapters.search.conftest import DIM, entry, manifest, unit

OLD, NEW = unit(20, seed=1), unit(30, seed=2)


def filled(store, vectors, finish=True):
    store.write([entry(number, vector, caption=f"of {len(vectors)}") for number, vector in enumerate(vectors)])
    if finish:
        store.finish()
    return store


def captions(path):
    store = open_store(str(path))
    found = {hit.caption for hit in ProductIndex(store).search(OLD[0], 100)[0]}
    store.close()
    return found


@pytest.fixture
def path(tmp_path):
    filled(LocalStore.create(tmp_path / "i", manifest()), OLD).close()
    return tmp_path / "i"


@pytest.mark.parametrize(
    "name", ["notes.txt", "vectors-0.f32", "vectors-mine.f32", "clusters-0-1-1.faiss", "products-docs/x.md"]
)
def test_files_of_others_are_kept_and_keep_the_folder(path, name):
    inside = open_store(str(path)).build / name.replace("vectors-0", "vectors-old").replace("clusters-0-1-1", "clusters-mine")
    for file in (path / name, inside):
        file.parent.mkdir(exist_ok=True)
        file.write_text("mine")
    store = filled(LocalStore.open(path), NEW)
    store.delete(["id 3"])
    store.finish()
    for overwrite in (True, False):
        with pytest.raises(InputError, match=r"holds other files|continue with --resume"):
            create_store(str(path), manifest(), overwrite=overwrite)
    assert (path / name).read_text() == inside.read_text() == "mine" and captions(path) == {"of 30"}


def test_an_index_is_replaced_only_when_the_new_one_is_whole(path):
    reader = open_store(str(path))
    before = reader.generation
    store = filled(create_store(str(path), manifest(), overwrite=True), NEW, finish=False)
    assert captions(path) == {"of 20"} and reader.generation == before
    with pytest.raises(InputError, match="another process is building"):
        create_store(str(path), manifest(), overwrite=True)
    with pytest.raises(InputError, match="another process is building"):
        resume_store(str(path))
    writer = open_store(str(path))  # others may write to the old one meanwhile
    filled(writer, OLD[:5])
    store.finish()
    store.close()
    assert captions(path) == {"of 30"} and reader.generation.split()[0] != before.split()[0]
    with pytest.raises(InputError, match="was replaced or removed meanwhile"):
        filled(writer, OLD)
    with pytest.raises(InputError, match="was replaced or removed meanwhile"):
        writer.delete(["id 1"])
    assert len(list(path.glob("products-*"))) == 1


def test_nothing_is_left_of_replaced_indexes_that_had_clusters(path, monkeypatch):
    monkeypatch.setattr("e2.adapters.search.local_store.EXACT", 100)
    for seed in range(3):
        filled(create_store(str(path), manifest(), overwrite=True), unit(400, seed)).close()
        assert len(list(path.glob("*products-*"))) == 1 and list(path.glob("*/clusters-*"))
    assert IndexFolder(path).unfinished() is None


@pytest.mark.parametrize("point", ["write", "_cluster", "_set_complete", "sweep"])
@pytest.mark.parametrize("manner", ["before", "after"])
def test_a_killed_replacement_leaves_the_old_index_and_goes_on(path, point, manner):
    child = os.fork()
    if not child:
        store = create_store(str(path), manifest(), overwrite=True)
        owner = IndexFolder if point == "sweep" else LocalStore
        original = getattr(owner, point)

        def killed(*args):
            if manner == "after":
                original(*args)
            os.kill(os.getpid(), signal.SIGKILL)

        setattr(owner, point, killed)
        filled(store, NEW)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    assert captions(path) == ({"of 30"} if point == "sweep" else {"of 20"})
    store = resume_store(str(path))
    assert store.replaces == (point != "sweep")
    filled(store, NEW).close()
    assert captions(path) == {"of 30"} and open_store(str(path)).manifest.complete
    filled(create_store(str(path), manifest(), overwrite=True), OLD).close()  # nothing of the killed one is in the way
    assert captions(path) == {"of 20"} and len(list(path.glob("*products-*"))) == 1


def test_a_stopped_build_is_told_by_the_next_process(path):
    filled(LocalStore.open(path), NEW, finish=False).close()
    assert not LocalStore.open(path).manifest.complete
    LocalStore.open(path).finish()
    assert LocalStore.open(path).manifest.complete


def test_clusters_of_rows_that_were_numbered_anew_are_never_used(tmp_path, monkeypatch):
    from e2.adapters.search import local_store, snapshot

    for module in (local_store, snapshot):
        monkeypatch.setattr(module, "EXACT", 100)
    vectors = unit(600)
    first = LocalStore.create(tmp_path / "i", manifest())
    first.write([entry(number, vector) for number, vector in enumerate(vectors)])
    first.finish()
    first.write([entry(number, vectors[number]) for number in range(600)])  # waits outside the clusters
    choose = local_store.Clusters.add

    def meanwhile(clusters, *arguments):
        choose(clusters, *arguments)
        second = LocalStore.open(tmp_path / "i")  # another process gives the dead rows back
        monkeypatch.setattr(local_store.Clusters, "add", choose)
        second.delete([f"id {number}" for number in range(300)])
        second.finish()

    monkeypatch.setattr(local_store.Clusters, "add", meanwhile)
    first.finish()
    index = ProductIndex(LocalStore.open(tmp_path / "i"))
    assert [index.search(vectors[n], 1)[0][0].product_id for n in range(300, 600)] == [f"id {n}" for n in range(300, 600)]


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_vectors_that_are_not_numbers_are_refused_before_anything_is_written(path, value):
    vectors = NEW.copy()
    vectors[7, 3] = value
    store = LocalStore.open(path)
    with pytest.raises(InputError, match="product id 7: its vector holds NaN or infinity"):
        filled(store, vectors)
    with pytest.raises(InputError, match="width 16"):
        filled(store, unit(3, dim=DIM - 1))
    assert captions(path) == {"of 20"} and LocalStore.open(path).manifest.complete

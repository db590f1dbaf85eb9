"""Run by ``test_processes.py``: several processes write, order, read and die on one index; prints what was found as JSON.

``python -m tests.adapters.search.index_worker FOLDER SEED``. Every worker is a fork of this process, which computes nothing
itself. A product's vector follows from its description, so that a reader can tell whether both are of one moment.
"""

import json
import os
import random
import signal
import sys
import time
import traceback
import zlib
from pathlib import Path

import numpy as np

from e2.adapters.search import local_store, snapshot
from e2.adapters.search.index import ProductIndex
from e2.adapters.search.local_store import LocalStore
from tests.adapters.search.conftest import DIM, entry, manifest

SMALL = 150  # products from which on there are clusters, and dead rows are given back
PRODUCTS, WRITERS, READERS = 400, 3, 2
SECONDS, KILLS = 6.0, 6


def vector_of(caption: str) -> np.ndarray:
    vector = np.random.default_rng(zlib.crc32(caption.encode())).standard_normal(DIM).astype(np.float32)
    return vector / np.linalg.norm(vector)


def product(number: int, version: int):
    caption = f"{number} version {version}"
    return entry(number, vector_of(caption), caption=caption, digest=caption, product_id=f"id {number}")


def write(folder: Path, writer: int, seed: int) -> None:
    """Writes, deletes and orders this writer's share of the products, which no other writes, for ever."""
    chance, version = random.Random(seed), seed * 1_000_000
    own = range(writer, PRODUCTS, WRITERS)
    store = LocalStore.open(folder)
    while True:
        version += 1
        numbers = chance.sample(own, chance.randint(20, len(own)))
        if chance.random() < 0.3:
            store.delete([f"id {number}" for number in numbers[:40]])
        store.write([product(number, version) for number in numbers])
        if chance.random() < 0.4:
            store.finish()


def read(folder: Path) -> None:
    """Searches for ever; each hit's score must be that of the description that comes with it."""
    index, queries = ProductIndex(LocalStore.open(folder)), random.Random(os.getpid())
    while True:
        query = vector_of(str(queries.random()))
        for hits in index.search(query, 20):
            assert len(hits) == 20, f"{len(hits)} hits of 20"
            for hit in hits:
                exact = float(vector_of(hit.caption) @ query)
                assert abs(exact - hit.score) < 1e-5, f"{hit} scores {exact}"


def start(action, *arguments) -> int:
    if process := os.fork():
        return process
    try:
        action(*arguments)
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(1)


def check(folder: Path) -> dict:
    """The index against what its own descriptions say."""
    store = LocalStore.open(folder)
    store.finish()
    index = ProductIndex(store)
    ids = [f"id {number}" for number in range(PRODUCTS)]
    there = index.get(ids)
    vectors = np.stack([vector_of(hit.caption) for hit in there])
    assert len(there) == len(index) and np.array_equal(index.vectors([hit.product_id for hit in there]), vectors)
    queries = np.stack([vector_of(f"query {number}") for number in range(50)])
    best = [{there[row].product_id for row in rows} for rows in np.argsort(-(queries @ vectors.T), axis=1)[:, :10]]
    found = [{hit.product_id for hit in hits} for hits in index.search(queries, 10)]
    recall = sum(len(a & b) for a, b in zip(best, found, strict=True)) / 500
    names = [path.name for path in folder.rglob("*") if path.is_file()]
    # SQLite's journal of a writer that was killed before it took effect stays until the next write.
    files = sorted(name for name in names if not name.endswith("-journal"))
    return {"recall": recall, "products": len(index), "files": files, "complete": store.manifest.complete}


def main(folder: Path, seed: int) -> dict:
    for module in (local_store, snapshot):
        module.EXACT = SMALL
    if not (child := os.fork()):  # this process opens no file that the others use
        store = LocalStore.create(folder, manifest())
        store.write([product(number, 0) for number in range(PRODUCTS)])
        store.finish()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    chance = random.Random(seed)
    readers = [start(read, folder) for _ in range(READERS)]
    writers = {start(write, folder, number, number): number for number in range(WRITERS)}
    killed = 0
    for turn in range(KILLS):
        time.sleep(SECONDS / KILLS * chance.uniform(0.5, 1.5))
        assert not any(os.waitpid(process, os.WNOHANG)[0] for process in [*readers, *writers]), "a process failed"
        process, number = chance.choice(list(writers.items()))
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
        killed += 1
        del writers[process]
        writers[start(write, folder, number, 100 * (turn + 1) + number)] = number
    time.sleep(SECONDS / KILLS)
    ended = [os.waitpid(process, os.WNOHANG)[0] for process in [*readers, *writers]]
    for process in {*readers, *writers} - set(ended):
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
    assert not any(ended), "a process failed"
    return {"killed": killed, **check(folder)}


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]), int(sys.argv[2]))))

"""Measures building, opening, searching, filtering and changing an embedded index as the catalogue grows, for `e2 speed
index-growth`.

Products are random (`index_vectors`), without photos: only the index is timed. Recall is against an exact search by NumPy with
the same queries, one at a time. Each stage runs in a process of its own, whose peak memory includes mapped pages of the
index's files, which the system may drop at any time.
"""

import json
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from e2.adapters.search.index import ProductIndex, open_index
from e2.adapters.search.local_store import LocalStore
from e2.adapters.search.vector_types import TYPES
from e2.benchmarks.speed import index_vectors
from e2.benchmarks.speed.harness import one_by_one, peak_memory, seconds, use_threads
from e2.errors import require_choice

SIZES = (10_000, 100_000, 1_000_000)
CHANGED = 1000  # products replaced, added and deleted


def run(
    *,
    sizes: Sequence[int] = SIZES,
    width: int = 128,
    vector_type: str = "float32",
    queries: int = 200,
    top_k: int = 20,
    folder: str = "",
) -> dict[str, Any]:
    """Returns ``points``, for each size a record of seconds, milliseconds, bytes and recalls of ``top_k`` hits of single
    queries.

    ``vector_type``: how the vectors are kept. ``folder``: of the indexes; empty: a temporary one.
    """
    require_choice("vector_type", vector_type, TYPES)
    with tempfile.TemporaryDirectory(dir=folder or None) as place:
        points = [_size(Path(place), size, width, vector_type, queries, top_k) for size in sizes]
    return {"points": points}


def _size(place: Path, size: int, width: int, vector_type: str, queries: int, top_k: int) -> dict[str, Any]:
    index, threads = place / str(size), torch.get_num_threads()
    LocalStore.create(index, index_vectors.manifest(width, vector_type)).close()
    found = {"products": size}
    for stage in (build, search, change):
        answer = place / f"{stage.__name__}.json"
        found[f"{stage.__name__}_peak_bytes"] = peak_memory(stage, index, answer, size, width, queries, top_k, threads)
        found |= json.loads(answer.read_text())
    return found


def build(index: Path, answer: Path, size: int, width: int, queries: int, top_k: int, threads: int) -> None:
    """Writes all products, then orders them for search."""
    use_threads(threads)
    store = LocalStore.open(index)
    writing = 0.0
    for entries in index_vectors.entries(size, width):
        writing += seconds(partial(store.write, entries))
    finishing = seconds(store.finish)
    on_disk = sum(file.stat().st_size for file in index.rglob("*") if file.is_file())
    answer.write_text(json.dumps({"write_s": writing, "finish_s": finishing, "disk_bytes": on_disk}))


def search(index: Path, answer: Path, size: int, width: int, queries: int, top_k: int, threads: int) -> None:
    """Opens the index, then searches without and with filters, and counts tags."""
    use_threads(threads)
    asked = index_vectors.queries(queries, width)
    start = time.perf_counter()
    opened = open_index(index)
    opened.search(asked[:1], 1)
    found: dict[str, Any] = {"open_s": time.perf_counter() - start}
    filters = {"all": None, **index_vectors.FILTERS}

    def ids_of(query: tuple[np.ndarray, str | None]) -> list[str]:
        return [hit.product_id for hit in opened.search(query[0], top_k, query[1])[0]]

    measured = {name: one_by_one(ids_of, [(query, where) for query in asked]) for name, where in filters.items()}
    found["facets_ms"] = 1000 * seconds(opened.facets)
    found["filtered_facets_ms"] = 1000 * seconds(lambda: opened.facets(filters["a tenth"]))
    masks = [np.ones(size, dtype=bool), *(index_vectors.passing(name, size) for name in index_vectors.FILTERS)]
    exact = index_vectors.nearest(asked, size, top_k, masks)
    for (name, (times, ids)), best in zip(measured.items(), exact, strict=True):
        found[name] = {**times, "recall": index_vectors.recall(ids, best)}
    answer.write_text(json.dumps(found))


def change(index: Path, answer: Path, size: int, width: int, queries: int, top_k: int, threads: int) -> None:
    """Replaces, adds and deletes products, and checks that searches see the change."""
    use_threads(threads)
    store = LocalStore.open(index)
    entries = next(index_vectors.entries(CHANGED, width))
    news = index_vectors.block(2**31 + 1, width)
    numbered = list(enumerate(entries))
    replaced = [replace(entry, product_id=str(size - 1 - i), vector=news[i]) for i, entry in numbered]
    added = [replace(entry, product_id=f"new {i}", vector=news[i + CHANGED]) for i, entry in numbered]
    found = {"replace_s": seconds(lambda: store.write(replaced)), "add_s": seconds(lambda: store.write(added))}
    found["delete_s"] = seconds(lambda: store.delete([str(row) for row in range(CHANGED)]))
    found["finish_after_s"] = seconds(store.finish)
    opened = ProductIndex(store)
    found["first_search_after_s"] = seconds(lambda: opened.search(news[:1], top_k))
    hits = opened.search(news[: 2 * CHANGED : 20], 1)
    wanted = [entry.product_id for entry in replaced + added][::20]
    found["changes_found"] = float(np.mean([hit[0].product_id == name for hit, name in zip(hits, wanted, strict=True)]))
    gone = opened.search(index_vectors.block(0, width)[:CHANGED:20], top_k)
    found["deleted_found"] = sum(hit.product_id.isdigit() and int(hit.product_id) < CHANGED for hits in gone for hit in hits)
    answer.write_text(json.dumps(found))

"""Compares index engines on the same random products, for `e2 speed index-engines`.

``local`` is our complete index (`local_store`), ``milvus-lite`` a Milvus Lite file (`milvus_store`), ``milvus`` the given
``server``, whose memory is not counted. The others are bare FAISS indexes of the vectors, without ids, tags or files, as lower
bounds. Counts of all tags, deletions, and searches for words at first, again and after a change are timed once. Each runs in a
process of its own, one query at a time.
"""

import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from e2.adapters.search.engines import create_store
from e2.adapters.search.index import ProductIndex
from e2.benchmarks.speed import index_vectors
from e2.benchmarks.speed.harness import one_by_one, peak_memory, seconds, use_threads
from e2.errors import InputError
from e2.extras import extra

ENGINES = ("local", "milvus-lite", "faiss-flat", "faiss-ivf-flat", "faiss-ivf-sq8", "faiss-hnsw")
NEIGHBOURS, WIDTH_OF_BUILD, WIDTH_OF_SEARCH = 32, 100, 128  # HNSW: links per vector, and search depth
PROBES = 64  # clusters that IVF searches
COLLECTION = "e2_speed"  # on a server; replaced by each run
SELECTIVE = "a hundredth"
DELETED = 1000
WORDS = "product c3 b7"  # of a few products

Search = Callable[[np.ndarray, bool], list[str]]  # query (D,), whether filtered -> ids
Built = tuple[float, Search, Mapping[str, Callable[[], Any]]]  # seconds, search, what else is timed once, by name


def run(
    *,
    products: int = 100_000,
    width: int = 128,
    queries: int = 100,
    top_k: int = 20,
    engines: Sequence[str] = ENGINES,
    server: str = "",
) -> dict[str, Any]:
    """Returns ``points``: for each engine seconds, milliseconds, peak bytes and recalls of ``top_k`` hits of single queries.

    ``server``: ``http://HOST:PORT`` of a Milvus server, for the engine ``milvus``.

    Raises:
        InputError: ``milvus`` without a server.
    """
    if "milvus" in engines and not server:
        raise InputError("the engine milvus needs --set server=http://HOST:PORT")
    points = []
    with tempfile.TemporaryDirectory() as place:
        for engine in engines:
            where = server if engine == "milvus" else place
            peak = peak_memory(measured, engine, place, where, products, width, queries, top_k, torch.get_num_threads())
            points.append({"engine": engine, "peak_bytes": peak, **json.loads((Path(place) / "answer.json").read_text())})
    return {"points": points}


def measured(engine: str, place: str, where: str, products: int, width: int, queries: int, top_k: int, threads: int) -> None:
    """Builds, searches, counts tags and deletes; writes ``answer.json``."""
    use_threads(threads)
    build = _bare_faiss if engine.startswith("faiss") else _with_products
    took, search, others = build(engine, where, products, width, top_k)
    asked = index_vectors.queries(queries, width)
    kept = [np.ones(products, dtype=bool), index_vectors.passing(SELECTIVE, products)]
    found: dict[str, Any] = {"build_s": took}
    exact = index_vectors.nearest(asked, products, top_k, kept)
    for name, filtered, best in zip(("", "filtered_"), (False, True), exact, strict=True):
        times, ids = one_by_one(lambda query: search(*query), [(query, filtered) for query in asked])
        found |= {f"{name}{key}": value for key, value in times.items()}
        found[f"{name}recall"] = index_vectors.recall(ids, best)
    found |= {name: seconds(call) for name, call in others.items()}
    (Path(place) / "answer.json").write_text(json.dumps(found))


def _with_products(engine: str, place: str, products: int, width: int, top_k: int) -> Built:
    """Builds a whole index, as `e2 index build` does."""
    name = {"local": "local", "milvus-lite": "lite.db", "milvus": COLLECTION}[engine]
    took, store = 0.0, create_store(f"{place}/{name}", index_vectors.manifest(width), overwrite=True)
    for entries in index_vectors.entries(products, width):
        took += seconds(partial(store.write, entries))
    took += seconds(store.finish)
    index, expression = ProductIndex(store), index_vectors.FILTERS[SELECTIVE]

    def search(query: np.ndarray, filtered: bool) -> list[str]:
        return [hit.product_id for hit in index.search(query, top_k, expression if filtered else None)[0]]

    words = partial(index.words, WORDS, top_k)
    others: dict[str, Callable[[], Any]] = {
        "facets_s": index.facets,
        "filtered_facets_s": lambda: index.facets(expression),
        "words_s": words,
        "words_again_s": words,
        "delete_s": lambda: index.delete([str(row) for row in range(DELETED)]),
        "changed_words_s": words,
    }
    return took, search, others


def _bare_faiss(engine: str, place: str, products: int, width: int, top_k: int) -> Built:
    with extra("search", "this measurement"):
        import faiss

    lists, product = int(4 * np.sqrt(products)), faiss.METRIC_INNER_PRODUCT
    make: Callable[..., Any] = faiss.SearchParameters
    breadth: dict[str, int] = {}
    kind = {"flat": "Flat", "ivf-flat": f"IVF{lists},Flat", "ivf-sq8": f"IVF{lists},SQ8", "hnsw": f"HNSW{NEIGHBOURS},Flat"}[
        engine.removeprefix("faiss-")
    ]
    index = faiss.index_factory(width, kind, product)
    vectors = np.concatenate([index_vectors.block(n, width) for n in range(-(-products // index_vectors.BLOCK))])[:products]
    if "IVF" in kind:
        make, breadth = faiss.SearchParametersIVF, {"nprobe": PROBES}
    if isinstance(index, faiss.IndexHNSW):
        index.hnsw.efConstruction = WIDTH_OF_BUILD
        make = faiss.SearchParametersHNSW  # type: ignore[attr-defined]  # it is there; the stubs of faiss 1.15 forgot it
        breadth = {"efSearch": WIDTH_OF_SEARCH}
    took = seconds(lambda: (index.train(vectors), index.add(vectors)))
    bits = np.packbits(index_vectors.passing(SELECTIVE, products), bitorder="little")
    selector = faiss.IDSelectorBitmap(products, faiss.swig_ptr(bits))

    def search(query: np.ndarray, filtered: bool, bits: np.ndarray = bits) -> list[str]:
        parameters = make(**breadth, sel=selector) if filtered else make(**breadth)
        return [str(row) for row in index.search(query[None], top_k, params=parameters)[1][0] if row >= 0]

    return took, search, {}

"""A handful of products with awkward words, and both engines to keep them."""

import os
import secrets
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from e2.adapters.search.engines import create_store
from e2.adapters.search.index import ProductIndex
from e2.adapters.search.milvus_server import Server
from e2.adapters.search.store import Entry, Manifest

ENTITIES = ("brand", "colour", "line name")
WORDS = {
    "brand": ["Nike", "Levi's", 'Say "Hi"', "back\\slash", "new\nline\ttab", "Ünï 颜色", "' or 1 == 1 or '", ""],
    "colour": ["red", "green", "blue", ""],
    "line name": ["a", "b", ""],
}
DIM = 16


def manifest(**changes) -> Manifest:
    encoder = {"path": "stub", "weights_sha256": "0" * 64, "backbone": "none", "method": "stub"}
    facts = {"encoder": encoder, "data": "shop", "split": "val", "entities": ENTITIES, "dim": DIM}
    return Manifest(**{**facts, "created": "2026-01-01T00:00:00+00:00", "version": "0", **changes})


def entry(number: int, vector: np.ndarray, **changes) -> Entry:
    tags = {name: words[number * (place + 3) % len(words)] for place, (name, words) in enumerate(WORDS.items())}
    facts = {
        "product_id": f"id {number}",
        "digest": f"digest {number}",
        "caption": f"product <b>{number}</b> ü",
        "tags": {name: value for name, value in tags.items() if value},
        "thumbnail": b"\xff\xd8" + bytes([number % 256]) * 100,
        "vector": vector,
    }
    return Entry(**{**facts, **changes})


def unit(count: int, seed: int = 0, dim: int = DIM) -> np.ndarray:
    vectors = np.random.default_rng(seed).standard_normal((count, dim)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def removed(place: str) -> None:
    """Takes the collections of a test from a server."""
    server = Server(place)
    for name in server.call("list_collections"):
        if name.startswith(f"{server.collection}_e2_"):
            for alias in server.call("list_aliases", name)["aliases"]:
                server.call("drop_alias", alias)
            server.call("drop_collection", name)
    server.close()


def place_in(engine: str, folder: Path) -> tuple[str, Callable[[], None]]:
    """Place for an index in an engine, and the function that removes the index from there."""
    if engine == "local":
        return str(folder / "index"), lambda: None
    pytest.importorskip("milvus_lite", reason="Milvus Lite stands in for a server")
    if engine == "lite":
        return str(folder / "lite.db" / "shop"), lambda: None
    if not (uri := os.environ.get("E2_MILVUS")):
        pytest.skip("set E2_MILVUS to the address of a Milvus server")
    place = f"{uri}/test_{secrets.token_hex(4)}"
    return place, lambda: removed(place)


@pytest.fixture(params=["local", "lite", "server"])
def place(request, tmp_path):
    """Place for an index, in each engine; on a real server where ``$E2_MILVUS`` names one, as in http://HOST:PORT."""
    place, close = place_in(request.param, tmp_path)
    yield place
    close()


@pytest.fixture
def filled(place):
    """An index of 60 products, their entries beside it."""
    entries = [entry(number, vector) for number, vector in enumerate(unit(60))]
    store = create_store(place, manifest())
    store.write(entries[:25])
    store.write(entries[25:])
    store.finish()
    index = ProductIndex(store)
    yield index, entries
    index.close()

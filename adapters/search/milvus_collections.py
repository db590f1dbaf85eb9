"""Makes and finds the collections of an address: the index that its alias means, and builds that will replace it."""

import contextlib
import json
import re
import time
from pathlib import Path
from typing import Any

from pymilvus import MilvusClient

from e2.adapters.search.address import shown
from e2.adapters.search.milvus_rows import schema
from e2.adapters.search.milvus_server import WRITE, Server, parts
from e2.adapters.search.milvus_words import add_index, has_full_text
from e2.adapters.search.store import Manifest
from e2.adapters.search.vector_types import TYPES
from e2.errors import InputError

MANIFEST = "e2.manifest"  # properties of a collection
CODES = {8: "SQ8", 1: "RABITQ"}  # bits of a number -> Milvus's name of the codes
CHANGED = "e2.changed"  # changes after each write


def connected(address: str, stack: contextlib.ExitStack) -> Server | None:
    """Opens a server, which the stack closes; None for a missing Milvus Lite file, which connecting would create."""
    uri = parts(shown(address))[0]
    if uri.endswith(".db") and not Path(uri).exists():
        return None
    return stack.enter_context(contextlib.closing(Server(address)))


def refuse_to_replace(address: str, there: dict[str, Any] | None, overwrite: bool) -> None:
    """Refuses to replace what must be kept."""
    if there is None:
        return
    if MANIFEST not in properties_of(there):
        raise InputError(f"{address} is there already and is not an index of e2 index build; choose another collection")
    if not overwrite:
        raise InputError(f"{address} holds an index already; continue with --resume, or replace it by --overwrite")


def make_collection(server: Server, manifest: Manifest) -> dict[str, Any]:
    """Creates a collection, with full text if the server knows it; returns the server's description.

    Raises:
        InputError: the server is too old for codes of 1 bit.
    """
    try:
        found = _made(server, manifest, full_text=True)
    except InputError:
        server.call("has_collection", server.collection)  # a server that is gone is not waited for again
    else:
        if has_full_text(found):
            return found
        server.call("drop_collection", found["collection_name"], patience=WRITE)
    return _made(server, manifest, full_text=False)


def properties_of(description: dict[str, Any]) -> dict[str, str]:
    """Properties in a server's description of a collection."""
    return dict(description.get("properties") or {})


def builds_of(server: Server) -> list[dict[str, Any]]:
    """All collections made for the address, earliest first."""
    own = re.compile(rf"{re.escape(server.collection)}_e2_[0-9a-f]{{16}}")
    found = [server.describe(name) for name in sorted(server.call("list_collections")) if own.fullmatch(name)]
    return [description for description in found if description and MANIFEST in properties_of(description)]


def index_params(vector_type: str, clusters: int = 1):
    """Asks for an index of this many clusters; 1: every vector, or the code of each, is searched."""
    index = MilvusClient.prepare_index_params()
    codes = "FLAT" if vector_type == "float32" else CODES[TYPES[vector_type].bits]
    kind: dict[str, Any] = {"index_type": codes}
    if clusters > 1 or codes != "FLAT":
        kind = {"index_type": f"IVF_{codes}", "params": {"nlist": clusters}}
    index.add_index("vector", index_name="vector", metric_type="IP", **kind)
    return index


def _made(server: Server, manifest: Manifest, *, full_text: bool) -> dict[str, Any]:
    """Creates a collection; servers refuse or, some earlier ones, leave out what they do not know."""
    name = f"{server.collection}_e2_{time.time_ns():016x}"
    properties = {MANIFEST: json.dumps(manifest.record()), CHANGED: ""}
    kind = index_params(manifest.vector_type)
    if full_text:
        add_index(kind)
    options = {"schema": schema(manifest, full_text=full_text), "index_params": kind, "consistency_level": "Session"}
    try:
        server.call("create_collection", name, properties=properties, patience=WRITE, **options)
    except InputError:
        if server.call("has_collection", name):  # without the index that it does not know
            server.call("drop_collection", name, patience=WRITE)
            if TYPES[manifest.vector_type].bits == 1:
                raise InputError(
                    f"{server.address}: this server has no index for {manifest.vector_type} vectors; take --vector-type int8"
                ) from None
        raise
    return server.call("describe_collection", name)

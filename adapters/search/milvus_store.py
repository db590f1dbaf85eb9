"""Milvus server as the engine, for catalogues that outgrow one machine: ``http://HOST:PORT/COLLECTION``.

The name is an alias of a collection ``COLLECTION_e2_TIME``, so that `build --overwrite` fills another and moves the alias in
one step. The manifest is a property of the collection; one without it is not ours, and never touched. Of several builds that
replace an index the first to finish wins: it removes the others', which fail at their next write. Milvus Lite works as well,
and is used in tests.

Up to `EXACT` products, searches are exhaustive (index ``FLAT``), so exact under any filter, which Milvus's HNSW was not.
Beyond, ``IVF_FLAT`` searches all clusters under a filter and some without. The server clusters rows written since `finish` by
itself and searches only some of these clusters; so until the next `finish`, if few products pass a filter, all are searched
here. A search with fewer hits than products that pass is repeated exhaustively. Of vectors in fewer bits the server compares
codes, and the best candidates are scored here (`e2.adapters.search.vector_types`). ``benchmarks/results/index`` has recalls.
Words are searched by the server too if it knew full text when the collection was made (`e2.adapters.search.milvus_words`).

Consistency is ``Session``: a store sees its own writes, and all those before it was opened; later writes of other processes
appear within about a second. Reads before changes wait for every earlier write (``Strong``).
"""

import base64
import contextlib
import json
import secrets
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from math import isqrt
from typing import Any, NoReturn

import numpy as np

from e2.adapters.search.address import shown
from e2.adapters.search.filters import Filter
from e2.adapters.search.milvus_collections import (
    CHANGED,
    MANIFEST,
    builds_of,
    connected,
    index_params,
    make_collection,
    properties_of,
    refuse_to_replace,
)
from e2.adapters.search.milvus_filter import SEVERAL, milvus_list
from e2.adapters.search.milvus_reader import ROWS_AT_ONCE, MilvusReader, portions
from e2.adapters.search.milvus_rows import bytes_of, hit_of, row_of
from e2.adapters.search.milvus_server import WRITE, Server
from e2.adapters.search.milvus_words import has_full_text
from e2.adapters.search.store import Entry, IndexHit, IndexTrouble, Manifest, read_manifest
from e2.adapters.search.vector_types import TYPES, candidates
from e2.adapters.search.words import Matches
from e2.errors import InputError

ORDER = 3600  # seconds that a server may take to cluster many vectors
EXACT = 1_000_000  # products up to which every vector is searched
SHARE = 8  # share of clusters searched without a filter, as a divisor
SEGMENT = 1 << 30  # bytes of a part that a server clusters by itself, unless it was set up otherwise
LITE = 128  # clusters that Milvus Lite makes, however many it is asked for
ANSWERS = 16_384  # the most hits that a server gives
MESSAGE = 16 << 20  # bytes of a write: a server takes 64 MB


class MilvusStore:
    """A `Store` on a server; see the module's docstring.

    Args:
        server: server of the collection.
        description: the server's description of the collection.
        replaces: name of the collection to replace at `finish`; None if this is the current one.
    """

    def __init__(self, server: Server, description: dict[str, Any], replaces: dict[str, Any] | None = None):
        self._server, self._name, self._replaces = server, description["collection_name"], replaces
        self.manifest = read_manifest(properties_of(description).get(MANIFEST), server.address)
        self.entities = self.manifest.entities
        if SEVERAL not in (field["name"] for field in description["fields"]):
            raise InputError(f"{server.address} was built by an earlier version; build it again by e2 index build --overwrite")
        self._reader = MilvusReader(server, self._name, self.entities, full_text=has_full_text(description))
        self._call("load_collection", patience=WRITE)
        self._codes = None if self.manifest.vector_type == "float32" else TYPES[self.manifest.vector_type]
        self._clusters = int(self._call("describe_index", "vector").get("nlist", 1))  # 1: every vector is searched
        self._reader.settle()

    @classmethod
    def open(cls, address: str) -> "MilvusStore":
        """Opens an index."""
        with contextlib.ExitStack() as stack:
            server = connected(address, stack)
            if server is not None and (found := server.describe(server.collection)):
                store = cls(server, found)
                stack.pop_all()
                return store
        raise InputError(f"{shown(address)} is not an index; build one by e2 index build --out {shown(address)}")

    @classmethod
    def resume(cls, address: str) -> "MilvusStore | None":
        """Opens what a build continues: an unfinished replacement, or else the index; None without either."""
        with contextlib.ExitStack() as stack:
            server = connected(address, stack)
            if server is None or (there := server.describe(server.collection)) is None:
                return None
            later = [found for found in builds_of(server) if found["collection_name"] > there["collection_name"]]
            store = cls(server, later[-1], replaces=there) if later else cls(server, there)
            stack.pop_all()
            return store

    @classmethod
    def create(cls, address: str, manifest: Manifest, *, overwrite: bool = False) -> "MilvusStore":
        """Creates an empty collection; with ``overwrite`` it replaces the existing one when finished."""
        with contextlib.ExitStack() as stack:
            server = stack.enter_context(contextlib.closing(Server(address)))
            there = server.describe(server.collection)
            refuse_to_replace(server.address, there, overwrite)
            store = cls(server, make_collection(server, manifest), replaces=there)
            if there is None:
                store._take_free_name()
            stack.pop_all()
            return store

    @property
    def generation(self) -> str:
        found = self._server.describe(self._server.collection)
        if found is None:
            raise IndexTrouble(f"there is no index at {self._server.address} any more; build it again")
        return f"{found['collection_name']} {properties_of(found).get(CHANGED)}"

    def __len__(self) -> int:
        return self.count(None)

    def count(self, where: Filter | None) -> int:
        return self._reader.count(where)

    def search(self, queries: np.ndarray, k: int, where: Filter | None, offset: int) -> list[list[IndexHit]]:
        if where and self._clusters > 1 and not self._is_ordered() and self._reader.count(where) <= ROWS_AT_ONCE:
            return [hits[offset:] for hits in self._looked_at_each(queries, k + offset, where)]
        probes = max(self._clusters, LITE) if where or self._clusters == 1 else -(-self._clusters // SHARE)
        fields, limit, first = self._reader.described, k, offset
        if self._codes:  # whose scores choose candidates only
            fields, limit, first = [*fields, "vector"], candidates(k + offset, self._codes.bits), 0
        answer = self._call(
            "search",
            data=list(queries),
            anns_field="vector",
            limit=min(limit, ANSWERS),
            filter=self._reader.expression(where),
            output_fields=fields,
            search_params={"metric_type": "IP", "offset": first, "params": {"nprobe": probes} if self._is_clustered else {}},
            consistency_level="Session",
        )
        if self._codes:
            rows = [[hit["entity"] for hit in hits] for hits in answer]
            found = [self._best(*pair, k + offset)[offset:] for pair in zip(queries, rows, strict=True)]
        else:
            found = [[hit_of(hit["entity"], float(hit["distance"]), self.entities) for hit in hits] for hits in answer]
        if any(len(hits) < k for hits in found):
            passing = min(k, max(0, self._reader.count(where) - offset))
            if any(len(hits) < passing for hits in found):
                return [hits[offset:] for hits in self._looked_at_each(queries, k + offset, where)]
        return found

    def get(self, product_ids: Sequence[str]) -> dict[str, IndexHit]:
        found = self._reader.by_id(product_ids, self._reader.described)
        return {row["product_id"]: hit_of(row, 1.0, self.entities) for row in found}

    def vectors(self, product_ids: Sequence[str]) -> dict[str, np.ndarray]:
        found = self._reader.by_id(product_ids, ["product_id", "vector"])
        return {row["product_id"]: np.asarray(row["vector"], np.float32) for row in found}

    def thumbnail(self, product_id: str) -> bytes | None:
        for row in self._reader.by_id([product_id], ["thumbnail"]):
            return base64.b64decode(row["thumbnail"])
        return None

    def digests(self, product_ids: Sequence[str]) -> dict[str, str]:
        found = self._reader.by_id(product_ids, ["product_id", "digest"], consistency_level="Strong", patience=WRITE)
        return {row["product_id"]: row["digest"] for row in found}

    def words(self, text: str, most: int, where: Filter | None) -> Matches:
        """Searches words on the server, or here if it was too old for full text when the collection was made."""
        return self._reader.words(text, most, where)

    def facets(self, where: Filter | None) -> dict[str, dict[str, int]]:
        """Counts here, as a server has no such call; rereads the tags of all products after a change."""
        found = self._reader.all_tags()
        return found.facets(found.passing(where))

    def write(self, entries: Sequence[Entry]) -> None:
        """Writes products, each whole or not at all; of many, sent in several messages, a dying process may leave some."""
        entries = list({entry.product_id: entry for entry in entries}.values())  # the last of an id counts
        rows = self._reader.with_terms([row_of(entry, self.manifest) for entry in entries])
        self._note(complete=False)
        for part in _messages(rows):
            self._call("upsert", part, patience=WRITE)
        self._note()

    def delete(self, product_ids: Sequence[str]) -> int:
        there = list(self.digests(product_ids))  # a server does not report how many it deleted
        for part in portions(there):
            self._call("delete", filter=f"product_id in {milvus_list(part)}", patience=WRITE)
        self._note()
        self._reader.settle()  # a server of 2.3 does not report deletions: ``Session`` would not wait
        return len(there)

    def finish(self) -> None:
        self._call("flush", patience=WRITE)
        self._order()
        self._note(complete=True)
        if self._replaces is not None:
            self._take_name(self._replaces["collection_name"])

    def close(self) -> None:
        self._server.close()

    def _call(self, name: str, *arguments, **options) -> Any:
        return self._server.call(name, self._name, *arguments, **options)

    def _note(self, complete: bool | None = None) -> None:
        """Records a change for every process, and whether the index is complete now; None: unchanged."""
        properties = {CHANGED: secrets.token_hex(8)}
        if complete is not None:
            self.manifest = replace(self.manifest, complete=complete)
            properties[MANIFEST] = json.dumps(self.manifest.record())
        self._call("alter_collection_properties", properties=properties, patience=WRITE)

    def _take_free_name(self) -> None:
        """Takes an unused name."""
        left = self._others()
        try:
            self._call("create_alias", self._server.collection, patience=WRITE)
        except InputError:
            if self._server.describe(self._server.collection) is None:
                raise
            self._give_up("another process began to build it meanwhile; wait until it has ended")
        self._remove(left)

    def _take_name(self, old: str) -> None:
        """Moves the alias here, then removes its old target and all other builds."""
        alias, left = self._server.collection, self._others()
        now = (self._server.describe(alias) or {}).get("collection_name")
        if now not in (None, old, self._name):
            self._give_up("another build of it was finished first, and stands")
        if now == alias:  # from an earlier version: a collection of that very name
            self._remove([old])
        if now in (None, alias):
            self._take_free_name()
        elif now == old:  # otherwise another process finished the same build earlier
            self._call("alter_alias", alias, patience=WRITE)
            self._remove(left)
        self._replaces = None

    def _others(self) -> list[str]:
        names = (found["collection_name"] for found in builds_of(self._server))
        return [name for name in names if name != self._name]

    def _remove(self, names: Sequence[str]) -> None:
        for name in names:
            self._server.call("drop_collection", name, patience=WRITE)

    def _give_up(self, reason: str) -> NoReturn:
        self._remove([self._name])
        raise InputError(f"{self._server.address}: {reason}, or replace it by --overwrite")

    # The vectors' index

    @property
    def _is_clustered(self) -> bool:
        """True if the server keeps vectors by clusters, of which codes have at least one."""
        return self._clusters > 1 or self._codes is not None

    def _order(self) -> None:
        """Chooses clusters if there are too many products for exhaustive search, and waits until all are in them."""
        products = self._reader.count(None, patience=WRITE)
        if products > EXACT and self._clusters == 1:
            clusters = clusters_of(products, self.manifest.dim)
            self._call("release_collection", patience=WRITE)
            self._call("drop_index", "vector", patience=WRITE)
            self._call("create_index", index_params(self.manifest.vector_type, clusters), patience=ORDER)
            self._call("load_collection", patience=ORDER)
            self._clusters = clusters
        end = time.monotonic() + ORDER
        while self._is_clustered and self._rows_to_order() and time.monotonic() < end:
            time.sleep(1)

    def _rows_to_order(self) -> int:
        return int(self._call("describe_index", "vector").get("pending_index_rows") or 0)

    def _is_ordered(self) -> bool:
        """True if nothing was written since the last `finish` of any process."""
        properties = properties_of(self._call("describe_collection"))
        return read_manifest(properties.get(MANIFEST), self._server.address).complete

    def _looked_at_each(self, queries: np.ndarray, k: int, where: Filter | None) -> list[list[IndexHit]]:
        """Searches the products that pass exhaustively for the best ``k``."""
        found: list[list[IndexHit]] = [[] for _ in queries]
        for rows in self._reader.pages(where, ["vector", *self._reader.described[1:]]):
            for number, query in enumerate(queries):
                hits = found[number] + self._best(query, rows, k)
                found[number] = sorted(hits, key=lambda hit: -hit.score)[:k]
        return found

    def _best(self, query: np.ndarray, rows: Sequence[dict], k: int) -> list[IndexHit]:
        """The ``k`` best of some rows for a query (D,), by their vectors."""
        scores = np.asarray([row["vector"] for row in rows], np.float32).reshape(len(rows), -1) @ query
        return [hit_of(rows[row], float(scores[row]), self.entities) for row in np.argsort(-scores, kind="stable")[:k]]


def clusters_of(products: int, dim: int) -> int:
    """Clusters to ask for: four times the root of the products in a segment, whose bytes may be all vectors.

    A server gives each segment as many as it can fill, and searches in each as many as a search names.
    """
    return 4 * isqrt(min(products, SEGMENT // (4 * dim)))


def _messages(rows: Sequence[dict]) -> Iterator[list[dict]]:
    """Splits rows into messages that a server accepts."""
    part: list[dict] = []
    size = 0
    for row in rows:
        if part and size + bytes_of(row) > MESSAGE:
            yield part
            part, size = [], 0
        part.append(row)
        size += bytes_of(row)
    if part:
        yield part

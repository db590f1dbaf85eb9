"""A Milvus server as the engine, for catalogues that outgrow one machine: ``http://HOST:PORT/COLLECTION``.

One collection: ``product_id`` (primary key), ``vector`` (inner product, the server's own choice of index), ``digest``,
``caption``, ``thumbnail`` (base64) and a text field for each entity, ``tag_0``, ``tag_1``, ..., empty where a product lacks
it. The manifest is a property of the collection. A user name or token comes from ``$MILVUS_TOKEN``. The file of a Milvus Lite,
``FILE.db`` or ``FILE.db/COLLECTION``, is taken as well: the tests run this code on one.

What a server limits: ids and tag values of 512 bytes, descriptions of 65,535 (longer ones are cut), answers of 16,384
products.
"""

import base64
import contextlib
import json
import logging
import os
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from pymilvus import DataType, MilvusClient, MilvusException

from adapters.search.filters import Filter, milvus_expression
from adapters.search.store import Entry, Hit, Manifest, read_manifest
from e2.errors import InputError, first_line

COLLECTION = "products"
MANIFEST = "e2.manifest"
ID_BYTES, CAPTION_BYTES = 512, 65_535
ROWS_AT_ONCE = 500  # of a write or an answer: a server takes messages of 64 MB
TRIES = 3  # of each call, which all may be repeated without harm
STRONG = "Strong"  # consistency: a search sees every write before it, as in the embedded engine


class MilvusStore:
    """A `Store` on a server. See the head of this file."""

    def __init__(self, place: str, client: MilvusClient, collection: str):
        self.place, self._client, self._collection = place, client, collection
        properties = dict(_call(client.describe_collection, collection).get("properties") or {})
        self._manifest = read_manifest(properties.get(MANIFEST), place)
        self.entities = self._manifest.entities
        self._facets: dict[Filter | None, dict[str, dict[str, int]]] = {}

    @property
    def manifest(self) -> Manifest:
        return self._manifest

    @classmethod
    def exists(cls, place: str) -> bool:
        uri, collection = _parts(place)
        if uri.endswith(".db") and not os.path.exists(uri):
            return False
        with contextlib.closing(_connected(uri)) as client:
            return _call(client.has_collection, collection)

    @classmethod
    def open(cls, place: str) -> "MilvusStore":
        """Raises InputError: no server, no such collection, or one that is no index."""
        uri, collection = _parts(place)
        if not cls.exists(place):
            raise InputError(f"{place} has no collection {collection}; build it by e2 index build --out {place}")
        client = _connected(uri)
        _call(client.load_collection, collection)
        return cls(place, client, collection)

    @classmethod
    def resume(cls, place: str) -> "MilvusStore | None":
        """Raises InputError: no server, or a collection that is no index."""
        return cls.open(place) if cls.exists(place) else None

    @classmethod
    def create(cls, place: str, manifest: Manifest, *, overwrite: bool = False) -> "MilvusStore":
        """An empty collection.

        Raises:
            InputError: no server, or there is one already and not ``overwrite``.
        """
        uri, collection = _parts(place)
        client = _connected(uri)
        if _call(client.has_collection, collection):
            if not overwrite:
                raise InputError(f"{place} is there already; go on with --resume, or replace it by --overwrite")
            _call(client.drop_collection, collection)
        schema = MilvusClient.create_schema(auto_id=False)
        schema.add_field("product_id", DataType.VARCHAR, is_primary=True, max_length=ID_BYTES)
        schema.add_field("vector", DataType.FLOAT_VECTOR, dim=manifest.dim)
        schema.add_field("digest", DataType.VARCHAR, max_length=64)
        for name in ("caption", "thumbnail"):
            schema.add_field(name, DataType.VARCHAR, max_length=CAPTION_BYTES)
        for number in range(len(manifest.entities)):
            schema.add_field(f"tag_{number}", DataType.VARCHAR, max_length=ID_BYTES)
        index = client.prepare_index_params()
        index.add_index("vector", index_type="AUTOINDEX", metric_type="IP")
        properties = {MANIFEST: json.dumps(manifest.record())}
        options = {"schema": schema, "index_params": index, "consistency_level": STRONG, "properties": properties}
        _call(client.create_collection, collection, **options)
        client.close()
        return cls.open(place)

    def __len__(self) -> int:
        return int(_call(self._client.query, self._collection, filter="", output_fields=["count(*)"])[0]["count(*)"])

    @property
    def generation(self) -> str:
        """Changes with what the server tells of the collection, not yet with each product."""
        description = _call(self._client.describe_collection, self._collection)
        return f"{description.get('collection_id')}:{description.get('update_timestamp')}"

    def search(self, queries: np.ndarray, k: int, where: Filter | None, offset: int) -> list[list[Hit]]:
        found = _call(
            self._client.search,
            self._collection,
            data=list(queries),
            anns_field="vector",
            limit=k,
            filter="" if where is None else milvus_expression(where, self._column),
            output_fields=["product_id", *self._described],
            search_params={"metric_type": "IP", "offset": offset},
        )
        return [[self._hit(hit["entity"], float(hit["distance"])) for hit in hits] for hits in found]

    def get(self, product_ids: Sequence[str]) -> dict[str, Hit]:
        return {row["product_id"]: self._hit(row, 1.0) for row in self._by_id(product_ids, self._described)}

    def vectors(self, product_ids: Sequence[str]) -> dict[str, np.ndarray]:
        found = self._by_id(product_ids, ["vector"])
        return {row["product_id"]: np.asarray(row["vector"], np.float32) for row in found}

    def thumbnail(self, product_id: str) -> bytes | None:
        for row in self._by_id([product_id], ["thumbnail"]):
            return base64.b64decode(row["thumbnail"])
        return None

    def digests(self, product_ids: Sequence[str]) -> dict[str, str]:
        return {row["product_id"]: row["digest"] for row in self._by_id(product_ids, ["digest"])}

    def facets(self, where: Filter | None) -> dict[str, dict[str, int]]:
        """Counted over all products, as a server has no such call; kept until this store writes."""
        if where not in self._facets:
            self._facets[where] = self._counted(where)
        return self._facets[where]

    def write(self, entries: Sequence[Entry]) -> None:
        entries = list({entry.product_id: entry for entry in entries}.values())  # the last of an id counts
        rows = [self._row(entry) for entry in entries]
        for start in range(0, len(rows), ROWS_AT_ONCE):
            _call(self._client.upsert, self._collection, rows[start : start + ROWS_AT_ONCE])
        self._facets = {}

    def delete(self, product_ids: Sequence[str]) -> int:
        there = list(self.digests(product_ids))  # a server does not tell how many it deleted
        for start in range(0, len(there), ROWS_AT_ONCE):
            _call(self._client.delete, self._collection, ids=there[start : start + ROWS_AT_ONCE])
        self._facets = {}
        return len(there)

    def finish(self) -> None:
        self._manifest = replace(self._manifest, complete=True)
        properties = {MANIFEST: json.dumps(self._manifest.record())}
        _call(self._client.alter_collection_properties, self._collection, properties=properties)
        _call(self._client.flush, self._collection)

    def close(self) -> None:
        self._client.close()

    @property
    def _described(self) -> list[str]:
        """The fields that `_hit` reads, beside the id."""
        return ["caption", *map(self._column, self.entities)]

    def _hit(self, row: dict, score: float) -> Hit:
        tags = {entity: row[self._column(entity)] for entity in self.entities if row[self._column(entity)]}
        return Hit(row["product_id"], score, row["caption"], tags)

    def _column(self, entity: str) -> str:
        return f"tag_{self.entities.index(entity)}"

    def _row(self, entry: Entry) -> dict[str, object]:
        tags = {self._column(entity): entry.tags.get(entity, "") for entity in self.entities}
        for what, text in (("id", entry.product_id), *((f"tag {value[:20]!r}", value) for value in tags.values())):
            if len(text.encode()) > ID_BYTES:
                raise InputError(
                    f"product {entry.product_id[:40]}: its {what} is longer than the {ID_BYTES} bytes Milvus takes"
                )
        return {
            "product_id": entry.product_id,
            "vector": np.asarray(entry.vector, np.float32),
            "digest": entry.digest,
            "caption": entry.caption.encode()[:CAPTION_BYTES].decode(errors="ignore"),
            "thumbnail": base64.b64encode(entry.thumbnail).decode(),
            **tags,
        }

    def _by_id(self, product_ids: Sequence[str], fields: list[str]) -> Iterator[dict]:
        for start in range(0, len(product_ids), ROWS_AT_ONCE):
            ids = list(product_ids[start : start + ROWS_AT_ONCE])
            yield from _call(self._client.get, self._collection, ids=ids, output_fields=["product_id", *fields])

    def _counted(self, where: Filter | None) -> dict[str, dict[str, int]]:
        columns = [self._column(entity) for entity in self.entities]
        counts: list[Counter[str]] = [Counter() for _ in columns]
        expression = "" if where is None else milvus_expression(where, self._column)
        rows = _call(
            self._client.query_iterator, self._collection, batch_size=10_000, filter=expression, output_fields=columns
        )
        with contextlib.closing(rows):
            while part := rows.next():
                for count, column in zip(counts, columns, strict=True):
                    count.update(row[column] for row in part if row[column])
        return {
            entity: dict(sorted(count.items(), key=lambda item: (-item[1], item[0])))
            for entity, count in zip(self.entities, counts, strict=True)
        }


def _parts(place: str) -> tuple[str, str]:
    """A place as (what to connect to, collection)."""
    start, slash, name = place.rpartition("/")
    if place.endswith(".db") or not slash or start.endswith("/"):  # a file; or http://HOST:PORT alone
        return place, COLLECTION
    return start, name or COLLECTION


def _connected(uri: str) -> MilvusClient:
    for name in ("pymilvus", "grpc._server"):  # they print a traceback for each error that they also raise
        logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        return MilvusClient(uri, token=os.environ.get("MILVUS_TOKEN", ""))
    except (MilvusException, OSError, ValueError) as error:
        raise InputError(f"no Milvus server answers at {uri} ({first_line(error)}); start it, or give a folder") from error


def _call(function, *arguments, **options):
    """Calls the server, again after a while if it fails.

    Raises:
        InputError: it failed each time.
    """
    for attempt in range(TRIES):
        try:
            return function(*arguments, **options)
        except MilvusException as error:
            if attempt == TRIES - 1:
                raise InputError(f"the Milvus server refused: {first_line(error)}") from error
            time.sleep(2**attempt)

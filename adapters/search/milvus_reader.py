"""Reads the products of a collection on a Milvus server: by id, counted, or all, page by page."""

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa

from e2.adapters.search.filters import Filter
from e2.adapters.search.milvus_collections import CHANGED, properties_of
from e2.adapters.search.milvus_filter import milvus_expression, milvus_list, milvus_text
from e2.adapters.search.milvus_rows import column, columns
from e2.adapters.search.milvus_server import WRITE, Server
from e2.adapters.search.milvus_words import TERMS, ServerText, terms_of
from e2.adapters.search.snapshot import Column, ProductTags
from e2.adapters.search.words import DatabaseText, Matches, Tokens, in_memory, matches

IDS_AT_ONCE = 500
ROWS_AT_ONCE = 5_000  # rows of an answer: Milvus gives at most 16,384


class MilvusReader:
    """Reads one collection.

    Args:
        server: its server.
        name: its name there.
        entities: names of the products' tags.
        full_text: whether the collection has full text.
    """

    def __init__(self, server: Server, name: str, entities: tuple[str, ...], *, full_text: bool):
        self._server, self._name, self.entities = server, name, entities
        self._tokens = Tokens() if full_text else None
        self._tags: tuple[str, ProductTags] | None = None  # of all products, and the change after which they were read
        self._words: tuple[str, sqlite3.Connection, ProductTags] | None = None  # likewise
        self._word_lock = threading.Lock()

    @property
    def described(self) -> list[str]:
        """Fields that `hit_of` reads."""
        return ["product_id", "caption", *columns(self.entities)]

    def count(self, where: Filter | None, **options) -> int:
        """Counts the products that pass; options: of a call."""
        return int(self._query(self.expression(where), ["count(*)"], **options)[0]["count(*)"])

    def settle(self) -> None:
        """Waits until the server shows everything written so far."""
        self.count(None, consistency_level="Strong", patience=WRITE)

    def by_id(self, product_ids: Sequence[str], fields: list[str], **options) -> Iterator[dict]:
        """Yields fields of the products that exist, in any order; options: of a call."""
        for part in portions(product_ids):
            yield from self._query(f"product_id in {milvus_list(part)}", fields, **options)

    def pages(self, where: Filter | None, fields: list[str]) -> Iterator[list[dict]]:
        """Yields fields and ids of all products that pass, by id; pymilvus's own iterator does not escape ids."""
        passing, last = self.expression(where), ""
        self.settle()  # no consistency level holds for an iterator
        while True:
            expression = f"product_id > {milvus_text(last)}" + (f" and ({passing})" if passing else "")
            options = {"limit": ROWS_AT_ONCE, "iterator": "True", "reduce_stop_for_best": "False"}  # the lowest ids
            rows = self._call("query", filter=expression, output_fields=["product_id", *fields], **options)
            if not rows:
                return
            yield rows
            last = max(row["product_id"] for row in rows)

    def all_tags(self) -> ProductTags:
        """Reads the tags of every product."""
        changed = properties_of(self._call("describe_collection")).get(CHANGED, "")
        if self._tags is None or self._tags[0] != changed:
            read: dict[str, list[pa.Array]] = {entity: [] for entity in self.entities}
            for rows in self.pages(None, columns(self.entities)):
                for entity, values in read.items():
                    values.append(pa.array([row[column(self.entities, entity)] for row in rows], pa.string()))
            self._tags = (changed, ProductTags({entity: Column.of(values) for entity, values in read.items()}))
        return self._tags[1]

    def words(self, text: str, most: int, where: Filter | None) -> Matches:
        """Searches words on the server, or here if it has no full text; rereads all products then after a change."""
        if self._tokens:
            on_server = ServerText(self._call, self._tokens, self.expression(where), scans=self._server.is_lite)
            return matches(on_server, text, most)
        with self._word_lock:
            connection, tags = self._all_words()
            return matches(DatabaseText(connection, tags.passing(where)), text, most)

    def with_terms(self, rows: Sequence[dict[str, Any]]) -> Sequence[dict[str, Any]]:
        """Adds their words to rows that are to be written, if the collection has full text."""
        if not self._tokens:
            return rows
        cells = [[row[name] for name in self.described] for row in rows]
        return [{**row, TERMS: terms} for row, terms in zip(rows, terms_of(self._tokens, cells), strict=True)]

    def expression(self, where: Filter | None) -> str:
        """Writes a filter in Milvus's language; every product passes the empty text."""
        return "" if where is None else milvus_expression(where, lambda entity: column(self.entities, entity))

    def _all_words(self) -> tuple[sqlite3.Connection, ProductTags]:
        """Reads descriptions and tags of every product."""
        changed = properties_of(self._call("describe_collection")).get(CHANGED, "")
        if self._words is None or self._words[0] != changed:
            fields = ["product_id", "caption", *columns(self.entities)]
            products = [[row[name] for name in fields] for rows in self.pages(None, fields[1:]) for row in rows]
            values = [pa.array([cells[place] for cells in products], pa.string()) for place in range(2, len(fields))]
            tags = {entity: Column.of([part]) for entity, part in zip(self.entities, values, strict=True)}
            self._words = (changed, in_memory(self.entities, products), ProductTags(tags))
        return self._words[1:]

    def _query(self, expression: str, fields: list[str], consistency_level: str = "Session", **options) -> list[dict]:
        return self._call("query", filter=expression, output_fields=fields, consistency_level=consistency_level, **options)

    def _call(self, name: str, *arguments, **options) -> Any:
        return self._server.call(name, self._name, *arguments, **options)


def portions(ids: Sequence[str]) -> Iterator[list[str]]:
    """Splits ids into lists that fit in an expression."""
    for start in range(0, len(ids), IDS_AT_ONCE):
        yield list(ids[start : start + IDS_AT_ONCE])

"""SQLite file of an embedded index; everything read or written in one `Database.moment` is consistent."""

import contextlib
import json
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from e2.adapters.search.store import IndexHit, IndexTrouble, Manifest, read_manifest
from e2.adapters.search.words import word_tables
from e2.errors import first_line

IDS_AT_ONCE = 500  # SQLite takes a limited number of parameters
PATIENCE = 60  # seconds that one process waits for another
DAMAGED = (sqlite3.Error, OSError, UnicodeError)  # SQLite checks no bytes: text, and its messages, may be no UTF-8
READ, WRITE, ALONE = "BEGIN", "BEGIN IMMEDIATE", "BEGIN EXCLUSIVE"  # with other readers and writers, with readers, alone


class Database:
    """Manifest, ids, descriptions, tags and thumbnails; shared by threads, which take turns.

    Args:
        name: the index's name in messages.
    """

    def __init__(self, path: Path, name: str):
        self.name, self.lock = name, threading.RLock()
        try:
            self.connection = _connected(path, "rw")
            self.entities = self.manifest().entities
        except DAMAGED as error:
            raise IndexTrouble(f"{name} cannot be read ({first_line(error)}); build it again by e2 index build") from error

    @staticmethod
    def make(path: Path, manifest: Manifest) -> None:
        """Creates a database without products."""
        tags = "".join(f", tag_{number} TEXT NOT NULL" for number in range(len(manifest.entities)))
        with contextlib.closing(_connected(path, "rwc")) as connection:
            connection.executescript(
                f"""BEGIN;
                CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL);
                CREATE TABLE products (row INTEGER PRIMARY KEY, product_id TEXT UNIQUE NOT NULL, digest TEXT NOT NULL,
                                       caption TEXT NOT NULL{tags});
                CREATE TABLE thumbnails (row INTEGER PRIMARY KEY, jpeg BLOB NOT NULL);
                INSERT INTO facts VALUES ('next_row', '0'), ('generation', '0');"""
                + word_tables(manifest.entities)
            )
            connection.execute("INSERT INTO facts VALUES ('manifest', ?)", [json.dumps(manifest.record())])
            connection.execute("COMMIT")

    @contextlib.contextmanager
    def moment(self, begin: str = READ) -> Iterator[None]:
        """Opens a transaction, committed at the end unless an error was raised."""
        with self.lock:
            try:
                self.connection.execute(begin)
                yield
                self.connection.execute("COMMIT")
            except DAMAGED as error:
                what, then = (
                    ("read", "try again, or build it again") if begin == READ else ("write", "nothing of it was written")
                )
                raise IndexTrouble(f"cannot {what} {self.name}: {first_line(error)}; {then}") from error
            finally:
                if self.connection.in_transaction:
                    self.connection.execute("ROLLBACK")

    def close(self) -> None:
        with self.lock:
            self.connection.close()

    # Within a moment

    def version(self) -> int:
        """Version that changes with every commit of another connection."""
        return self.one("PRAGMA data_version")

    def manifest(self) -> Manifest:
        """Reads the manifest."""
        return read_manifest(self.one("SELECT value FROM facts WHERE name = 'manifest'"), self.name)

    def fact(self, name: str) -> int:
        found = self.connection.execute("SELECT value FROM facts WHERE name = ?", [name]).fetchone()
        if found is None or not found[0].isdecimal():
            raise sqlite3.DatabaseError(f"its {name} is not a number")
        return int(found[0])

    def set(self, name: str, value: int | str) -> None:
        self.connection.execute("UPDATE facts SET value = ? WHERE name = ?", [str(value), name])

    def one(self, query: str) -> Any:
        return (self.connection.execute(query).fetchone() or [None])[0]

    def by_id(self, columns: str, product_ids: Sequence[str], table: str = "products") -> list[tuple]:
        """Selects columns of products by ids; ids that are no Unicode cannot exist."""
        ids, found = [name for name in dict.fromkeys(product_ids) if name.encode(errors="ignore").decode() == name], []
        for start in range(0, len(ids), IDS_AT_ONCE):
            part = ids[start : start + IDS_AT_ONCE]
            query = f"SELECT {columns} FROM {table} WHERE product_id IN ({', '.join('?' * len(part))})"
            found += self.connection.execute(query, part).fetchall()
        return found

    def hits(self, product_ids: Sequence[str]) -> dict[str, IndexHit]:
        """Products by their ids, with score 1."""
        tags = "".join(f", tag_{number}" for number in range(len(self.entities)))
        found = {}
        for product_id, caption, *values in self.by_id(f"product_id, caption{tags}", product_ids):
            named = zip(self.entities, values, strict=True)
            found[product_id] = IndexHit(product_id, 1.0, caption, {entity: value for entity, value in named if value})
        return found

    def remove(self, product_ids: Sequence[str]) -> int:
        """Deletes products; returns how many existed."""
        rows = self.by_id("row", product_ids)
        self.connection.executemany("DELETE FROM thumbnails WHERE row = ?", rows)
        self.connection.executemany("DELETE FROM products WHERE row = ?", rows)
        return len(rows)


def _connected(path: Path, mode: str) -> sqlite3.Connection:
    """Connects, for several threads, with explicit transactions."""
    uri = f"{path.absolute().as_uri()}?mode={mode}"
    return sqlite3.connect(uri, uri=True, timeout=PATIENCE, isolation_level=None, check_same_thread=False)

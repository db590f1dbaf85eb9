"""The SQLite file of an embedded index: whatever is read or written of it in one `Database.moment` is of one moment."""

import contextlib
import json
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from e2.adapters.search.store import IndexHit, Manifest, read_manifest
from e2.errors import InputError, first_line

IDS_AT_ONCE = 500  # SQLite takes a limited number of parameters
PATIENCE = 60  # seconds that one process waits for another
READ, WRITE, ALONE = "BEGIN", "BEGIN IMMEDIATE", "BEGIN EXCLUSIVE"  # beside others, beside readers, beside nobody


class Database:
    """Manifest, ids, descriptions, tags and thumbnails; of several threads, which take turns.

    Args:
        path: of the file.
        name: of the index, for messages.

    Raises:
        InputError: it is damaged, or of a later version.
    """

    def __init__(self, path: Path, name: str):
        self.name, self.lock = name, threading.RLock()
        try:
            self.connection = _connected(path, "rw")
            self.entities = self.manifest().entities
        except sqlite3.Error as error:
            raise InputError(f"{name} cannot be read ({first_line(error)}); build it again by e2 index build") from error

    @staticmethod
    def make(path: Path, manifest: Manifest) -> None:
        """Writes one without products."""
        tags = "".join(f", tag_{place} TEXT NOT NULL" for place in range(len(manifest.entities)))
        with contextlib.closing(_connected(path, "rwc")) as connection:
            connection.executescript(
                f"""BEGIN;
                CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL);
                CREATE TABLE products (row INTEGER PRIMARY KEY, product_id TEXT UNIQUE NOT NULL, digest TEXT NOT NULL,
                                       caption TEXT NOT NULL{tags});
                CREATE TABLE thumbnails (row INTEGER PRIMARY KEY, jpeg BLOB NOT NULL);
                INSERT INTO facts VALUES ('next_row', '0'), ('generation', '0');"""
            )
            connection.execute("INSERT INTO facts VALUES ('manifest', ?)", [json.dumps(manifest.record())])
            connection.execute("COMMIT")

    @contextlib.contextmanager
    def moment(self, begin: str = READ) -> Iterator[None]:
        """A transaction, committed at the end unless something was raised in it.

        Raises:
            InputError: the file cannot be read or written, the disk is full, or another process holds it too long.
        """
        with self.lock:
            try:
                self.connection.execute(begin)
                yield
                self.connection.execute("COMMIT")
            except (sqlite3.Error, OSError) as error:
                what = "read" if begin == READ else "write"
                raise InputError(f"cannot {what} {self.name}: {first_line(error)}; nothing of it was written") from error
            finally:
                if self.connection.in_transaction:
                    self.connection.execute("ROLLBACK")

    def close(self) -> None:
        with self.lock:
            self.connection.close()

    # In a moment

    def version(self) -> int:
        """Changes with every commit of another connection."""
        return self.one("PRAGMA data_version")

    def manifest(self) -> Manifest:
        """Raises InputError: it is of a later version."""
        return read_manifest(self.one("SELECT value FROM facts WHERE name = 'manifest'"), self.name)

    def fact(self, name: str) -> int:
        return int(self.connection.execute("SELECT value FROM facts WHERE name = ?", [name]).fetchone()[0])

    def set(self, name: str, value: int | str) -> None:
        self.connection.execute("UPDATE facts SET value = ? WHERE name = ?", [str(value), name])

    def one(self, query: str) -> Any:
        return self.connection.execute(query).fetchone()[0]

    def by_id(self, columns: str, product_ids: Sequence[str], table: str = "products") -> list[tuple]:
        """Some columns of products. An id that is no Unicode is none that there could be."""
        ids, found = [name for name in dict.fromkeys(product_ids) if _is_unicode(name)], []
        for start in range(0, len(ids), IDS_AT_ONCE):
            part = ids[start : start + IDS_AT_ONCE]
            query = f"SELECT {columns} FROM {table} WHERE product_id IN ({', '.join('?' * len(part))})"
            found += self.connection.execute(query, part).fetchall()
        return found

    def hits(self, product_ids: Sequence[str]) -> dict[str, IndexHit]:
        """Products by their ids, with score 1."""
        tags = "".join(f", tag_{place}" for place in range(len(self.entities)))
        found = {}
        for product_id, caption, *values in self.by_id(f"product_id, caption{tags}", product_ids):
            named = zip(self.entities, values, strict=True)
            found[product_id] = IndexHit(product_id, 1.0, caption, {entity: value for entity, value in named if value})
        return found

    def remove(self, product_ids: Sequence[str]) -> int:
        """Returns how many of them there were."""
        rows = self.by_id("row", product_ids)
        self.connection.executemany("DELETE FROM thumbnails WHERE row = ?", rows)
        self.connection.executemany("DELETE FROM products WHERE row = ?", rows)
        return len(rows)


def _connected(path: Path, mode: str) -> sqlite3.Connection:
    """For several threads; transactions are begun by hand."""
    uri = f"{path.absolute().as_uri()}?mode={mode}"
    return sqlite3.connect(uri, uri=True, timeout=PATIENCE, isolation_level=None, check_same_thread=False)


def _is_unicode(text: str) -> bool:
    """Whether it can be written as UTF-8: half a surrogate pair cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True

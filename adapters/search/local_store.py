"""The embedded engine: SQLite for products, a flat file of vectors, FAISS for fast search among many. No server.

A folder with

- ``products.sqlite``: manifest, ids, descriptions, tags and thumbnails. The truth about what the index holds;
- ``vectors-G.f32``: float32, row after row; SQLite says which row is whose. Rows are only appended, a replaced or deleted
  product's row is left until so many are dead that the file is written anew, as generation G + 1;
- ``clusters-G-U-T.faiss``: of rows below U, trained on T; can always be made again (`adapters.search.clusters`).

A write is one transaction of SQLite: vectors are on disk before it commits, so that a process that dies leaves products whole
or not at all. Readers, also in other processes, notice each commit and look again.

Why not Milvus Lite, which needs no server either: measured side by side (`benchmarks/results/index`) it took many times as
long to build, to search and to filter, and only one process may open it.
"""

import contextlib
import json
import os
import re
import shutil
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from adapters.search.clusters import Clusters
from adapters.search.filters import Filter
from adapters.search.snapshot import EXACT, Column, Snapshot
from adapters.search.store import Described, Entry, Manifest, read_manifest
from e2.errors import InputError, first_line

DATABASE = "products.sqlite"
CLUSTERS = re.compile(r"clusters-(\d+)-(\d+)-(\d+)\.faiss")
IDS_AT_ONCE = 500  # SQLite takes a limited number of parameters
ROWS_AT_ONCE = 65_536
PATIENCE = 60  # seconds that a writer waits for another
MOST_DEAD = 0.5  # of the live rows, before the vectors are written anew
MOST_WAITING = 0.02  # of the rows may wait outside the clusters; they are looked at one by one
GROWTH = 2.0  # times as many products as the clusters were trained on: they are chosen anew


class LocalStore:
    """A `Store` in a folder. See the head of this file."""

    def __init__(self, folder: Path, connection: sqlite3.Connection):
        self.folder = folder
        self._connection, self._lock = connection, threading.RLock()
        self._kept: tuple[int, Snapshot] | None = None  # SQLite's data version, and what was read at it
        self._manifest = self._read_manifest()
        self.entities = self._manifest.entities

    @classmethod
    def exists(cls, folder: Path) -> bool:
        return (folder / DATABASE).is_file()

    @classmethod
    def create(cls, folder: Path, manifest: Manifest, *, overwrite: bool = False) -> "LocalStore":
        """An empty index.

        Raises:
            InputError: something is there already (an index and not ``overwrite``, or anything else), or it cannot be written.
        """
        if cls.exists(folder) and overwrite:
            shutil.rmtree(folder)
        if cls.exists(folder):
            raise InputError(f"{folder} holds an index already; go on with --resume, or replace it by --overwrite")
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise InputError(f"{folder} is there already and is no index; choose another --out")
        tags = "".join(f", tag_{place} TEXT NOT NULL" for place in range(len(manifest.entities)))
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with contextlib.closing(_connected(folder / DATABASE, "rwc")) as connection:
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
        except (OSError, sqlite3.Error) as error:
            raise InputError(f"cannot write {folder}: {first_line(error)}; choose another --out") from error
        return cls.open(folder)

    @classmethod
    def open(cls, folder: Path) -> "LocalStore":
        """Raises InputError: no index, a damaged one, or one of a later version."""
        if not cls.exists(folder):
            raise InputError(f"{folder} is no index; build one by e2 index build --out {folder}")
        try:
            connection = _connected(folder / DATABASE, "rw")
            return cls(folder, connection)
        except sqlite3.Error as error:
            raise InputError(f"{folder} cannot be read ({first_line(error)}); build it again by e2 index build") from error

    @property
    def manifest(self) -> Manifest:
        return self._manifest

    def __len__(self) -> int:
        with self._lock:
            return self._one("SELECT COUNT(*) FROM products")

    def search(self, queries: np.ndarray, k: int, where: Filter | None, offset: int) -> list[list[tuple[str, float]]]:
        found = self._snapshot().search(queries, k + offset, where)
        return [hits[offset:] for hits in found]

    def facets(self, where: Filter | None) -> dict[str, dict[str, int]]:
        return self._snapshot().facets(where)

    def describe(self, product_ids: Sequence[str]) -> dict[str, Described]:
        tags = "".join(f", tag_{place}" for place in range(len(self.entities)))
        found = {}
        for product_id, caption, *values in self._by_id(f"product_id, caption{tags}", product_ids):
            named = zip(self.entities, values, strict=True)
            found[product_id] = Described(caption, {entity: value for entity, value in named if value})
        return found

    def digests(self, product_ids: Sequence[str]) -> dict[str, str]:
        return dict(self._by_id("product_id, digest", product_ids))

    def vectors(self, product_ids: Sequence[str]) -> dict[str, np.ndarray]:
        with self._lock:
            snapshot = self._snapshot()
            rows = list(self._by_id("product_id, row", product_ids))
        return {product_id: np.array(snapshot.all_vectors[row]) for product_id, row in rows if row < len(snapshot.all_vectors)}

    def thumbnail(self, product_id: str) -> bytes | None:
        with self._lock:
            found = self._connection.execute(
                "SELECT jpeg FROM thumbnails JOIN products USING (row) WHERE product_id = ?", [product_id]
            ).fetchone()
        return found and found[0]

    def write(self, entries: Sequence[Entry]) -> None:
        entries = list({entry.product_id: entry for entry in entries}.values())  # the last of an id counts
        marks = ", ".join("?" * (4 + len(self.entities)))
        with self._writing():
            self._remove([entry.product_id for entry in entries])
            start = self._fact("next_row")
            self._append(start, np.stack([entry.vector for entry in entries]).astype(np.float32))
            rows = (
                (row, entry.product_id, entry.digest, entry.caption, *(entry.tags.get(name, "") for name in self.entities))
                for row, entry in enumerate(entries, start)
            )
            self._connection.executemany(f"INSERT INTO products VALUES ({marks})", rows)
            jpegs = ((row, entry.thumbnail) for row, entry in enumerate(entries, start))
            self._connection.executemany("INSERT INTO thumbnails VALUES (?, ?)", jpegs)
            self._set("next_row", start + len(entries))

    def delete(self, product_ids: Sequence[str]) -> int:
        with self._writing():
            return self._remove(product_ids)

    def finish(self) -> None:
        with self._lock:
            self._set_manifest(replace(self._manifest, complete=True))
            if self._fact("next_row") > len(self) * (1 + MOST_DEAD) + EXACT:
                self._compact()
            self._cluster()
            self._remove_old_files()

    def close(self) -> None:
        with self._lock:
            self._kept = None
            self._connection.close()

    # Reading

    def _snapshot(self) -> Snapshot:
        """The products as they are now; read again only after a write, of this process or another."""
        with self._lock:
            version = self._one("PRAGMA data_version")
            if self._kept is None or self._kept[0] != version:
                with self._transaction("BEGIN"):
                    self._kept = (self._one("PRAGMA data_version"), self._load())
            return self._kept[1]

    def _load(self) -> Snapshot:
        names = [f"tag_{place}" for place in range(len(self.entities))]
        cursor = self._connection.execute(f"SELECT {', '.join(['row', 'product_id', *names])} FROM products ORDER BY row")
        parts: list[list[pa.Array]] = [[] for _ in range(2 + len(names))]
        while rows := cursor.fetchmany(ROWS_AT_ONCE):
            for part, cells in zip(parts, zip(*rows, strict=True), strict=True):
                part.append(pa.array(cells))
        rows, ids = _joined(parts[0], pa.int64()), _joined(parts[1], pa.string())
        columns = {}
        for entity, part in zip(self.entities, parts[2:], strict=True):
            encoded = _joined(part, pa.string()).dictionary_encode()
            columns[entity] = Column(encoded.indices.to_numpy(zero_copy_only=False), encoded.dictionary.to_pylist())
        return Snapshot(ids, rows.to_numpy(zero_copy_only=False), columns, self._all_vectors(), self._clusters())

    def _all_vectors(self) -> np.ndarray:
        """(next row, D) float32 mapped from disk, copy on write: PyTorch wants arrays that could be written to."""
        shape = (self._fact("next_row"), self._manifest.dim)
        if not shape[0]:
            return np.empty(shape, np.float32)
        path = self._vector_file()
        if not path.is_file() or path.stat().st_size < 4 * shape[0] * shape[1]:
            raise InputError(f"{path} is cut or missing; build the index again by e2 index build --overwrite")
        return np.memmap(path, np.float32, mode="c", shape=shape)

    def _clusters(self) -> Clusters | None:
        """The newest ones of this generation; None where there are none, or FAISS cannot read them."""
        generation = self._fact("generation")
        found = [tuple(map(int, match.groups())) for match in map(CLUSTERS.fullmatch, os.listdir(self.folder)) if match]
        mine = [names for names in found if names[0] == generation]
        if not mine:
            return None
        _, upto, trained = max(mine)
        if self._kept and (kept := self._kept[1].clusters) and kept.upto == upto and kept.trained == trained:
            return kept
        with contextlib.suppress(RuntimeError):  # a damaged file costs speed only
            return Clusters.load(self.folder / f"clusters-{generation}-{upto}-{trained}.faiss", upto, trained)
        return None

    def _by_id(self, columns: str, product_ids: Sequence[str]) -> list[tuple]:
        found = []
        for start in range(0, len(product_ids), IDS_AT_ONCE):
            part = list(product_ids[start : start + IDS_AT_ONCE])
            marks = ", ".join("?" * len(part))
            with self._lock:
                query = f"SELECT {columns} FROM products WHERE product_id IN ({marks})"
                found += self._connection.execute(query, part).fetchall()
        return found

    def _one(self, query: str):
        return self._connection.execute(query).fetchone()[0]

    def _fact(self, name: str) -> int:
        return int(self._connection.execute("SELECT value FROM facts WHERE name = ?", [name]).fetchone()[0])

    def _vector_file(self) -> Path:
        return self.folder / f"vectors-{self._fact('generation')}.f32"

    def _read_manifest(self) -> Manifest:
        return read_manifest(self._one("SELECT value FROM facts WHERE name = 'manifest'"), str(self.folder))

    # Writing

    @contextlib.contextmanager
    def _transaction(self, begin: str) -> Iterator[None]:
        self._connection.execute(begin)
        try:
            yield
            self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        """A transaction that no other writer can come between.

        Raises:
            InputError: the folder may not be written, the disk is full, or another writer holds it too long.
        """
        with self._lock:
            try:
                with self._transaction("BEGIN IMMEDIATE"):
                    yield
            except (OSError, sqlite3.OperationalError) as error:
                raise InputError(f"cannot write {self.folder}: {first_line(error)}; nothing of it was written") from error
            finally:
                self._kept = self._kept and (-1, self._kept[1])  # read again, the clusters may be kept

    def _remove(self, product_ids: Sequence[str]) -> int:
        rows = [(row,) for (row,) in self._by_id("row", product_ids)]
        self._connection.executemany("DELETE FROM thumbnails WHERE row = ?", rows)
        self._connection.executemany("DELETE FROM products WHERE row = ?", rows)
        return len(rows)

    def _append(self, start: int, vectors: np.ndarray) -> None:
        """Writes rows from ``start`` on, over what a process left there that died before it committed."""
        path = self._vector_file()
        with path.open("r+b" if path.exists() else "xb") as file:
            file.seek(4 * start * self._manifest.dim)
            file.write(vectors.tobytes())
            file.flush()
            os.fsync(file.fileno())

    def _set(self, name: str, value: int | str) -> None:
        self._connection.execute("UPDATE facts SET value = ? WHERE name = ?", [str(value), name])

    def _set_manifest(self, manifest: Manifest) -> None:
        with self._writing():
            self._set("manifest", json.dumps(manifest.record()))
        self._manifest = manifest

    def _compact(self) -> None:
        """Writes the live vectors to a file of their own, and numbers rows anew."""
        with self._writing():
            rows = np.array(self._connection.execute("SELECT row FROM products ORDER BY row").fetchall(), np.int64).ravel()
            vectors, generation = self._all_vectors(), self._fact("generation") + 1
            with (self.folder / f"vectors-{generation}.f32").open("wb") as file:
                for start in range(0, len(rows), ROWS_AT_ONCE):
                    file.write(np.ascontiguousarray(vectors[rows[start : start + ROWS_AT_ONCE]]).tobytes())
                file.flush()
                os.fsync(file.fileno())
            moves = [(new, int(old)) for new, old in enumerate(rows)]  # ascending: never onto one that is to move yet
            for table in ("products", "thumbnails"):
                self._connection.executemany(f"UPDATE {table} SET row = ? WHERE row = ?", moves)
            self._set("next_row", len(rows))
            self._set("generation", generation)

    def _cluster(self) -> None:
        """Chooses clusters, or puts into them what waits outside."""
        snapshot = self._snapshot()
        if len(snapshot) <= EXACT:
            return
        clusters, rows = snapshot.clusters, snapshot.rows
        if clusters is None or len(rows) > GROWTH * clusters.trained:
            clusters = Clusters.of(snapshot.all_vectors, rows)
        elif len(rows) - (held := np.searchsorted(rows, clusters.upto)) > MOST_WAITING * len(rows):
            path = self.folder / f"clusters-{self._fact('generation')}-{clusters.upto}-{clusters.trained}.faiss"
            clusters = Clusters.load(path, clusters.upto, clusters.trained)  # searches may run in the one in memory
            clusters.add(snapshot.all_vectors, rows[held:])
        else:
            return
        clusters.save(self.folder / f"clusters-{self._fact('generation')}-{clusters.upto}-{clusters.trained}.faiss")
        self._kept = None

    def _remove_old_files(self) -> None:
        """What an earlier generation, or a process that died, left."""
        generation = self._fact("generation")
        found = [match for match in map(CLUSTERS.fullmatch, os.listdir(self.folder)) if match]
        newest = max((tuple(map(int, match.groups())) for match in found), default=None)
        for match in found:
            if tuple(map(int, match.groups())) != newest or newest[0] != generation:
                (self.folder / match[0]).unlink()
        for path in self.folder.glob("vectors-*.f32"):
            if path != self._vector_file():
                path.unlink()


def _connected(path: Path, mode: str) -> sqlite3.Connection:
    """Of several threads, which take turns by the store's lock; transactions are begun by hand."""
    uri = f"{path.absolute().as_uri()}?mode={mode}"
    return sqlite3.connect(uri, uri=True, timeout=PATIENCE, isolation_level=None, check_same_thread=False)


def _joined(parts: list[pa.Array], kind: pa.DataType) -> pa.Array:
    return pa.concat_arrays(parts) if parts else pa.array([], kind)

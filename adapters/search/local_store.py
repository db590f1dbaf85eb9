"""Embedded engine: SQLite for products, a flat file of vectors, FAISS for fast search among many. No server.

A build is a sub-folder of the index's folder (`e2.adapters.search.folder`), with

- ``products.sqlite``: manifest, ids, descriptions, tags and thumbnails. The authority on what the index holds;
- the files of `e2.adapters.search.vector_files`: SQLite maps products to their rows. Those of replaced or deleted products
  stay until there are so many that the vectors are rewritten, as the next generation.

A write is one transaction of SQLite, and so is what a search reads: vectors are on disk before a write commits, a row of a
generation never becomes another product's, and files are removed only while nobody reads. So a process that dies leaves
products whole or not at all, and writes of other processes appear all at once.

Milvus Lite needs no server either, but took many times as long to build, search and filter (`benchmarks/results/index`), and
only one process may open it.
"""

import contextlib
import json
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from e2.adapters.search.clusters import Clusters
from e2.adapters.search.database import ALONE, WRITE, Database
from e2.adapters.search.filters import Filter
from e2.adapters.search.folder import DATABASE, IndexFolder
from e2.adapters.search.snapshot import EXACT, Column, ProductTags, Snapshot
from e2.adapters.search.store import Entry, IndexHit, IndexTrouble, Manifest
from e2.adapters.search.vector_files import VectorFiles
from e2.adapters.search.vector_types import TYPES, KeptVectors
from e2.adapters.search.words import DatabaseText, Matches, has_words, matches
from e2.errors import InputError, first_line

ROWS_AT_ONCE = 65_536
TRIES = 3  # searches that a write may overtake; the next one makes writers wait
MOST_DEAD = 0.5  # of the live rows, before the vectors are rewritten
MOST_WAITING = 0.02  # of the rows may be outside the clusters; they are searched exhaustively
GROWTH = 2.0  # growth factor after which clusters are chosen again


class LocalStore:
    """A `Store` in a folder; see the module's docstring.

    Args:
        folder: of the index.
        build: the sub-folder.
        replaces: whether ``build`` replaces the index when finished; the folder is locked until then.
    """

    def __init__(self, folder: IndexFolder, build: Path, *, replaces: bool = False):
        self.folder, self.build, self.replaces = folder, build, replaces
        self._database = Database(build / DATABASE, str(folder.path))
        self._kept: tuple[int, Snapshot] | None = None  # the database's version, and the snapshot read then
        self._writes = 0  # changes by this object, which that version excludes
        self.manifest, self.entities = self._database.manifest(), self._database.entities
        self._kind = TYPES[self.manifest.vector_type]
        self._files = VectorFiles(build, self.manifest.dim, self._kind)

    @classmethod
    def create(cls, path: str | Path, manifest: Manifest, *, overwrite: bool = False) -> "LocalStore":
        """Creates an empty index; with ``overwrite`` it replaces the existing one when finished."""
        folder = IndexFolder(path)
        folder.claim(overwrite=overwrite)
        with folder.locked() as keep:
            folder.claim(overwrite=overwrite)  # another process may have built one meanwhile
            replaces = folder.current() is not None
            try:
                build = folder.add(lambda new: Database.make(new / DATABASE, manifest))
            except (OSError, sqlite3.Error) as error:
                raise InputError(f"cannot write {path}: {first_line(error)}; choose another --out") from error
            store = cls(folder, build, replaces=replaces)
            if replaces:
                keep()
            else:
                folder.publish(build)
            return store

    @classmethod
    def resume(cls, path: str | Path) -> "LocalStore | None":
        """Opens what a build continues: an unfinished replacement, or else the index; None without either."""
        folder = IndexFolder(path)
        if folder.current() is None:
            return None
        with folder.locked() as keep:
            if build := folder.unfinished():
                store = cls(folder, build, replaces=True)
                keep()
                return store
        return cls.open(path)

    @classmethod
    def open(cls, path: str | Path) -> "LocalStore":
        """Opens an index."""
        folder = IndexFolder(path)
        while build := folder.current():
            try:
                return cls(folder, build)
            except InputError:
                if folder.current() == build:  # otherwise it was replaced just now
                    raise
        raise InputError(f"{path} is not an index; build one by e2 index build --out {path}")

    @property
    def generation(self) -> str:
        build = self.folder.current()
        if build is None:
            raise IndexTrouble(f"there is no index in {self.folder.path} any more; build it again")
        with self._database.moment():
            return f"{build.name} {self._database.version()} {self._writes}"

    def __len__(self) -> int:
        with self._database.moment():
            return self._database.one("SELECT COUNT(*) FROM products")

    def search(self, queries: np.ndarray, k: int, where: Filter | None, offset: int) -> list[list[IndexHit]]:
        for _ in range(TRIES):
            snapshot = self._snapshot()
            found = snapshot.search(queries, k + offset, where)  # other threads, and writers, need not wait for it
            with self._reading() as now:
                if now is snapshot:
                    return self._described(found, offset)
        with self._reading() as now:
            return self._described(now.search(queries, k + offset, where), offset)

    def count(self, where: Filter | None) -> int:
        return self._snapshot().count(where)

    def words(self, text: str, most: int, where: Filter | None) -> Matches:
        with self._reading() as snapshot:
            if not has_words(self._database.connection):
                return Matches()
            return matches(DatabaseText(self._database.connection, snapshot.passing_rows(where)), text, most)

    def facets(self, where: Filter | None) -> dict[str, dict[str, int]]:
        return self._snapshot().facets(where)

    def get(self, product_ids: Sequence[str]) -> dict[str, IndexHit]:
        with self._database.moment():
            return self._database.hits(product_ids)

    def digests(self, product_ids: Sequence[str]) -> dict[str, str]:
        with self._database.moment():
            return dict(self._database.by_id("product_id, digest", product_ids))

    def vectors(self, product_ids: Sequence[str]) -> dict[str, np.ndarray]:
        with self._reading() as snapshot:
            rows = self._database.by_id("product_id, row", product_ids)
        vectors = np.array(snapshot.all_vectors[[row for _, row in rows]])
        return {product_id: vector for (product_id, _), vector in zip(rows, vectors, strict=True)}

    def thumbnail(self, product_id: str) -> bytes | None:
        with self._database.moment():
            found = self._database.by_id("jpeg", [product_id], "products JOIN thumbnails USING (row)")
        return found[0][0] if found else None

    def write(self, entries: Sequence[Entry]) -> None:
        entries = list({entry.product_id: entry for entry in entries}.values())  # the last of an id counts
        marks = ", ".join("?" * (4 + len(self.entities)))
        vectors = np.stack([entry.vector for entry in entries]).astype(np.float32)
        if vectors.shape[1:] != (self.manifest.dim,):
            raise InputError(f"the index holds vectors of width {self.manifest.dim}, not of shape {vectors.shape[1:]}")
        with self._writing() as connection:
            self._database.remove([entry.product_id for entry in entries])
            start = self._database.fact("next_row")
            self._files.append(self._database.fact("generation"), start, vectors)
            rows = (
                (row, entry.product_id, entry.digest, entry.caption, *(entry.tags.get(name, "") for name in self.entities))
                for row, entry in enumerate(entries, start)
            )
            connection.executemany(f"INSERT INTO products VALUES ({marks})", rows)
            jpegs = ((row, entry.thumbnail) for row, entry in enumerate(entries, start))
            connection.executemany("INSERT INTO thumbnails VALUES (?, ?)", jpegs)
            self._database.set("next_row", start + len(entries))
            self._set_complete(False)

    def delete(self, product_ids: Sequence[str]) -> int:
        with self._writing():
            return self._database.remove(product_ids)

    def finish(self) -> None:
        self._compact()
        self._cluster()
        with self._writing():
            self._set_complete(True)
        with contextlib.suppress(InputError):  # a reader is busy for minutes: the next write removes them
            self._remove_old_files()
        if self.replaces:
            self.folder.publish(self.build)
            self._give_way()

    def close(self) -> None:
        self._kept = None
        self._database.close()
        self._give_way()

    # Reading

    @contextlib.contextmanager
    def _reading(self) -> Iterator[Snapshot]:
        """Yields the current products, in a transaction; reloads them only after a write by any process."""
        with self._database.moment():
            version = self._database.version()
            if self._kept is None or self._kept[0] != version:
                self._kept = (version, self._load())
            yield self._kept[1]

    def _snapshot(self) -> Snapshot:
        with self._reading() as snapshot:
            return snapshot

    def _load(self) -> Snapshot:
        names = [f"tag_{number}" for number in range(len(self.entities))]
        query = f"SELECT {', '.join(['row', 'product_id', *names])} FROM products ORDER BY row"
        cursor = self._database.connection.execute(query)
        parts: list[list[pa.Array]] = [[] for _ in range(2 + len(names))]
        while rows := cursor.fetchmany(ROWS_AT_ONCE):
            for part, cells in zip(parts, zip(*rows, strict=True), strict=True):
                part.append(pa.array(cells))
        rows, ids = _joined(parts[0], pa.int64()).to_numpy(zero_copy_only=False), _joined(parts[1], pa.string())
        columns = ProductTags({entity: Column.of(part) for entity, part in zip(self.entities, parts[2:], strict=True)})
        generation = self._database.fact("generation")
        kept = self._kept[1].clusters if self._kept and self._kept[1].generation == generation else None
        clusters = self._files.clusters(generation, kept)
        return Snapshot(generation, ids, rows, columns, self._all_vectors(generation), clusters)

    def _all_vectors(self, generation: int) -> KeptVectors:
        try:
            return self._files.read(generation, self._database.fact("next_row"))
        except InputError:
            self._check_in_place()
            raise

    def _described(self, found: list[list[tuple[str, float]]], offset: int) -> list[list[IndexHit]]:
        """Adds texts and tags to the hits after the first ``offset``, in the transaction of the search."""
        known = self._database.hits([product_id for hits in found for product_id, _ in hits[offset:]])
        return [[replace(known[product_id], score=score) for product_id, score in hits[offset:]] for hits in found]

    # Writing

    @contextlib.contextmanager
    def _writing(self, begin: str = WRITE) -> Iterator[sqlite3.Connection]:
        """Opens a transaction that excludes other writers."""
        with self._database.lock:
            try:
                with self._database.moment(begin):
                    self._check_in_place()
                    yield self._database.connection
            finally:
                self._writes += 1
                self._kept = self._kept and (-1, self._kept[1])  # reload; the clusters may be kept

    def _check_in_place(self) -> None:
        if not self.replaces and self.folder.current() != self.build:
            raise IndexTrouble(f"{self.folder.path} was replaced or removed meanwhile; begin again")

    def _give_way(self) -> None:
        """Lets other processes replace the index."""
        if self.replaces:
            self.replaces = False
            self.folder.unlock()

    def _set_complete(self, complete: bool) -> None:
        self.manifest = replace(self._database.manifest(), complete=complete)
        self._database.set("manifest", json.dumps(self.manifest.record()))

    def _compact(self) -> None:
        """Rewrites the live vectors to a new file and renumbers rows, if many rows are dead."""
        with self._writing() as connection:
            rows = np.array(connection.execute("SELECT row FROM products ORDER BY row").fetchall(), np.int64).ravel()
            if self._database.fact("next_row") <= len(rows) * (1 + MOST_DEAD) + EXACT:
                return
            generation = self._database.fact("generation")
            kept = self._all_vectors(generation).rows
            starts = range(0, len(rows), ROWS_AT_ONCE)
            self._files.begin(generation + 1, (kept[rows[start : start + ROWS_AT_ONCE]] for start in starts))
            moves = [(new, int(old)) for new, old in enumerate(rows)]  # ascending: never onto one that is still to move
            for table in ("products", "thumbnails"):
                connection.executemany(f"UPDATE {table} SET row = ? WHERE row = ?", moves)
            self._database.set("next_row", len(rows))
            self._database.set("generation", generation + 1)

    def _cluster(self) -> None:
        """Chooses clusters, or adds the rows outside them; others may write meanwhile, as rows keep their products."""
        snapshot = self._snapshot()
        clusters, rows, generation = snapshot.clusters, snapshot.rows, snapshot.generation
        if len(snapshot) <= EXACT:
            return
        if clusters is None or len(rows) > GROWTH * clusters.trained:
            clusters = Clusters.of(snapshot.all_vectors, rows, self._kind.bits)
        elif len(rows) - (held := np.searchsorted(rows, clusters.upto)) > MOST_WAITING * len(rows):
            # searches may run in the one in memory
            clusters = self._files.load_clusters(generation, clusters.upto, clusters.trained)
            clusters.add(snapshot.all_vectors, rows[held:])
        else:
            return
        self._files.save_clusters(generation, clusters)

    def _remove_old_files(self) -> None:
        """Removes files of earlier generations or dead processes, while nobody reads or writes."""
        with self._writing(ALONE):
            self._files.remove_others(self._database.fact("generation"))


def _joined(parts: list[pa.Array], kind: pa.DataType) -> pa.Array:
    return pa.concat_arrays(parts) if parts else pa.array([], kind)

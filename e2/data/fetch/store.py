"""Keeps fetched photos by their addresses in one SQLite file, so that a killed fetch goes on where it was."""

import contextlib
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from e2.data.catalogue import FilesAndBytes, ImageStore
from e2.data.fetch.photos import Fetched
from e2.data.fetch.turns import FetchLedger, PhotoToFetch
from e2.data.paths import LostOnTheWeb

TABLES = """
CREATE TABLE IF NOT EXISTS photo (
    number INTEGER PRIMARY KEY, url TEXT UNIQUE, state TEXT DEFAULT 'pending', reason TEXT, contents BLOB
);
CREATE INDEX IF NOT EXISTS photo_by_state ON photo (state);
"""


class PhotoStore(FetchLedger):
    """Photos by URL, each ``pending``, ``fetched`` or ``lost``."""

    PENDING = "SELECT number, url FROM photo WHERE state = 'pending' AND number > ? ORDER BY number LIMIT ?"

    def __init__(self, file: Path):
        super().__init__(file)
        self._db.executescript(TABLES)

    def want(self, urls: Iterable[str]) -> None:
        """Notes photos to fetch, unless they are known."""
        self._db.execute("BEGIN")
        with self._db:  # commits
            self._db.executemany("INSERT OR IGNORE INTO photo (url) VALUES (?)", ([url] for url in urls))

    def photo(self, number: int, *row: Any) -> PhotoToFetch:
        return PhotoToFetch(number, row)

    def one_that_came(self) -> tuple[str, ...] | None:
        return self._db.execute("SELECT url FROM photo WHERE state = 'fetched' LIMIT 1").fetchone()

    def record(self, photo: PhotoToFetch, fetched: Fetched) -> None:
        state = "lost" if fetched.contents is None else "fetched"
        reason = fetched.failures[-1][1] if fetched.failures else None
        change = "UPDATE photo SET state = ?, reason = ?, contents = ? WHERE number = ?"
        self._db.execute(change, [state, reason, fetched.contents, photo.number])

    def lost(self) -> dict[str, str]:
        """URL -> reason of each photo that could not be fetched."""
        return dict(self._db.execute("SELECT url, reason FROM photo WHERE state = 'lost' ORDER BY number"))


@dataclass
class FetchedImages(ImageStore):
    """Photos of a catalogue of which some were fetched, the others lie in files or in the table.

    Without a digest: verdicts are not cached, as the store grows.
    """

    store: Path  # file of a `PhotoStore`
    files: FilesAndBytes

    def known_good(self, entry: dict[str, Any]) -> bool:
        """Tells whether it was fetched: fetched photos were decoded when they came."""
        return self._found("state", entry) == ("fetched",)

    def read(self, entry: dict[str, Any]) -> bytes | Path:
        found = self._found("contents, reason", entry)
        if found is None:
            return self.files.read(entry)
        if found[0] is None:
            raise LostOnTheWeb(entry["path"], found[1])
        return found[0]

    def _found(self, columns: str, entry: dict[str, Any]) -> tuple | None:
        """Columns of the photo at an entry's address; None if it was not wanted from the web."""
        if entry["bytes"] is not None:
            return None
        with contextlib.closing(sqlite3.connect(f"file:{quote(str(self.store))}?mode=ro", uri=True)) as db:
            return db.execute(f"SELECT {columns} FROM photo WHERE url = ?", [entry["path"]]).fetchone()

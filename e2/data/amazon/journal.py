"""State of a build: the plan's SQLite file, with the result of each photo and, until its shard is written, its bytes."""

import contextlib
import errno
import itertools
import json
import os
import sqlite3
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from e2.data.fetch.photos import Fetched
from e2.data.fetch.turns import FetchLedger, PhotoToFetch
from e2.data.product import Product
from e2.errors import InputError

CAME = "SELECT urls FROM photo WHERE state IN ('fetched', 'stored') LIMIT 1"
OPEN_SHARDS = """
SELECT split, shard, sum(state = 'pending') FROM photo JOIN product ON product.number = photo.product
GROUP BY split, shard HAVING sum(state IN ('pending', 'fetched'))
"""
PHOTOS_OF_SHARD = """
SELECT product_id, title, brand, contents FROM product JOIN photo ON product.number = photo.product
WHERE split = ? AND shard = ? AND state = 'fetched' ORDER BY photo.number
"""
SHARD_IS_WRITTEN = """
UPDATE photo SET state = 'stored', contents = NULL
WHERE state = 'fetched' AND product IN (SELECT number FROM product WHERE split = ? AND shard = ?)
"""
STORED = """
SELECT split, title, brand, count(*) FROM product JOIN photo ON product.number = photo.product
WHERE state = 'stored' GROUP BY product.number
"""
FAILURES = """
SELECT product_id, url, reason, state = 'failed' FROM failure JOIN photo ON photo.number = failure.photo
JOIN product ON product.number = photo.product ORDER BY photo.number, failure.rowid
"""
Shard = tuple[str, int]  # split, number


class Journal(FetchLedger):
    """State of a build, whose photos are ``pending``, ``fetched``, ``stored`` in a shard, or ``failed``."""

    PENDING = """
    SELECT photo.number, split, shard, urls FROM photo JOIN product ON product.number = photo.product
    WHERE state = 'pending' AND photo.number > ? ORDER BY photo.number LIMIT ?
    """

    def note(self, name: str) -> Any:
        """JSON value noted under a name, or None."""
        found = self._db.execute("SELECT value FROM note WHERE name = ?", [name]).fetchone()
        return json.loads(found[0]) if found else None

    def set_note(self, name: str, value: Any) -> None:
        """Notes a JSON value."""
        self._db.execute("REPLACE INTO note VALUES (?, ?)", [name, json.dumps(value)])

    def open_shards(self) -> dict[Shard, int]:
        """Shards still to be written -> number of their pending photos."""
        return {(split, shard): pending for split, shard, pending in self._db.execute(OPEN_SHARDS)}

    def photo(self, number: int, *row: Any) -> PhotoToFetch:
        split, shard, urls = row
        return PhotoToFetch(number, tuple(json.loads(urls)), of=(split, shard))

    def one_that_came(self) -> tuple[str, ...] | None:
        found = self._db.execute(CAME).fetchone()
        return found and tuple(json.loads(found[0]))

    def record(self, photo: PhotoToFetch, fetched: Fetched) -> None:
        state = "failed" if fetched.contents is None else "fetched"
        self._db.execute("BEGIN")
        with self._db:  # commits
            self._db.executemany(
                "INSERT INTO failure VALUES (?, ?, ?)", [(photo.number, *failed) for failed in fetched.failures]
            )
            done = [state, fetched.contents, photo.number]
            self._db.execute("UPDATE photo SET state = ?, contents = ? WHERE number = ?", done)

    def products(self, shard: Shard) -> Iterator[Product]:
        """Yields a shard's products that have a photo, one after the other from disk."""
        rows = self._db.execute(PHOTOS_OF_SHARD, shard)
        for (product_id, title, brand), photos in itertools.groupby(rows, key=lambda row: row[:3]):
            yield Product(product_id, tuple(contents for *_, contents in photos), (title,), {"brand": brand})

    def shard_is_written(self, shard: Shard) -> None:
        """Drops the bytes of a written shard's photos."""
        self._db.execute(SHARD_IS_WRITTEN, shard)

    def stored(self) -> Iterator[tuple[str, str, str, int]]:
        """Split, title, brand and number of photos of each product in a written shard."""
        yield from self._db.execute(STORED)

    def failures(self) -> Iterator[dict[str, Any]]:
        """Each URL that gave no photo; ``lost`` if no other URL gave that photo either."""
        for product_id, url, reason, lost in self._db.execute(FAILURES):
            yield {"product_id": product_id, "url": url, "reason": reason, "lost": bool(lost)}

    def lost_by_reason(self) -> dict[str, int]:
        """Reasons for lost photos, by the first of their URLs -> count, most frequent first."""
        query = """
        SELECT reason FROM failure JOIN photo ON photo.number = failure.photo WHERE state = 'failed'
        GROUP BY photo HAVING failure.rowid = min(failure.rowid)
        """
        return dict(Counter(reason for (reason,) in self._db.execute(query)).most_common())


@contextlib.contextmanager
def clear_errors(file: Path) -> Iterator[None]:
    """Translates SQLite's errors for the command line.

    Raises:
        OSError: the disk is full or fails.
        InputError: the file is damaged.
    """
    try:
        yield
    except sqlite3.OperationalError as error:
        code = errno.ENOSPC if "full" in str(error) else errno.EIO
        raise OSError(code, f"{os.strerror(code)} ({error})", str(file)) from error
    except sqlite3.DatabaseError as error:
        raise InputError(f"{file} is damaged ({error}); start afresh by --overwrite") from error

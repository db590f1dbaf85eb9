"""Plans a build in one SQLite file: the products, their splits and shards, and their photos.

SQLite, because the file is also the build's state (`e2.data.amazon.journal`): it may exceed memory, and every change is
atomic.
"""

import hashlib
import json
import sqlite3
from collections import Counter
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from e2.data.amazon.brands import brand_key
from e2.data.amazon.metadata import Listing, Unusable, listing_of
from e2.data.shares import Shares, fraction

TABLES = """
CREATE TABLE note (name TEXT PRIMARY KEY, value TEXT);
CREATE TABLE product (
    number INTEGER PRIMARY KEY, product_id TEXT UNIQUE, twin BLOB UNIQUE, title TEXT, brand TEXT, brand_key TEXT,
    photos TEXT, chance REAL, split TEXT, shard INTEGER
);
CREATE TABLE photo (
    number INTEGER PRIMARY KEY, product INTEGER, urls TEXT, state TEXT DEFAULT 'pending', contents BLOB
);
CREATE TABLE failure (photo INTEGER, url TEXT, reason TEXT);
"""
RARE = """
DELETE FROM product WHERE brand_key IN (SELECT brand_key FROM product GROUP BY brand_key HAVING count(*) < ?)
"""
SAMPLE = "DELETE FROM product WHERE number NOT IN (SELECT number FROM product ORDER BY chance LIMIT ?)"
ONE_SPELLING = """
WITH spelling AS (
    SELECT brand_key, brand, row_number() OVER (PARTITION BY brand_key ORDER BY count(*) DESC, brand) AS place
    FROM product GROUP BY brand_key, brand
)
UPDATE product SET brand = spelling.brand FROM spelling WHERE spelling.brand_key = product.brand_key AND spelling.place = 1
"""
SHARDS = """
WITH ranked AS (SELECT number, row_number() OVER (PARTITION BY split ORDER BY number) - 1 AS place FROM product)
UPDATE product SET shard = ranked.place / ? FROM ranked WHERE ranked.number = product.number
"""
PHOTOS = """
INSERT INTO photo (product, urls)
SELECT product.number, view.value FROM product, json_each(product.photos) AS view WHERE view.key < ?
ORDER BY product.number, view.key
"""
INDICES = """
CREATE INDEX product_by_shard ON product (split, shard);
CREATE INDEX photo_by_product ON photo (product);
CREATE INDEX photo_by_state ON photo (state);
CREATE INDEX failure_by_photo ON failure (photo);
"""


@dataclass(frozen=True)
class Selection(Shares):
    """Selection of the metadata and its layout. The same selection of the same file gives the same plan.

    Splits go by title rather than id: one article in several colours or sizes has several ids and one title, and its copies
    must not leak from training into the test.
    """

    photos: int = 1  # per product, at most
    min_brand_products: int = 1  # products of rarer brands are left out
    limit: int | None = None  # products, drawn at random; None: all
    val: float = 0.05  # share of the titles
    test: float = 0.05
    shard_size: int = 1000  # products per shard, at most


def write_plan(file: Path, lines: Iterable[bytes], selection: Selection) -> dict[str, Any]:
    """Reads metadata into a plan, ``file``, which must be empty or new.

    Returns:
        The numbers of ``lines``, of those ``left_out`` by reason (the first that applies), and of ``products`` planned.
    """
    left_out: Counter[str] = Counter()
    read = 0
    with closing(sqlite3.connect(file)) as plan, plan:
        plan.executescript("PRAGMA synchronous = OFF;" + TABLES)
        for line in lines:
            read += 1
            try:
                _add(plan, listing_of(line), selection)
            except Unusable as reason:
                left_out[str(reason)] += 1
        left_out["rare brand"] = plan.execute(RARE, [selection.min_brand_products]).rowcount
        if selection.limit is not None:
            left_out["beyond the limit"] = plan.execute(SAMPLE, [selection.limit]).rowcount
        plan.execute(ONE_SPELLING)
        plan.execute(SHARDS, [selection.shard_size])
        plan.execute(PHOTOS, [selection.photos])
        (products,) = plan.execute("SELECT count(*) FROM product").fetchone()
        plan.executescript(INDICES)
    return {"lines": read, "left_out": {reason: n for reason, n in left_out.most_common() if n}, "products": products}


def _add(plan: sqlite3.Connection, listing: Listing, selection: Selection) -> None:
    if plan.execute("SELECT 1 FROM product WHERE product_id = ?", [listing.product_id]).fetchone():
        raise Unusable("duplicate id")
    title = " ".join(listing.title.casefold().split())
    row = {
        "product_id": listing.product_id,
        "twin": hashlib.sha256(f"{title}\n{listing.photos[0][0]}".encode()).digest()[:16],
        "title": listing.title,
        "brand": listing.brand,
        "brand_key": brand_key(listing.brand),
        "photos": json.dumps(listing.photos),
        "chance": fraction(f"limit\n{selection.seed}\n{listing.product_id}"),
        "split": selection.split_of(title),
    }
    names = ", ".join(row)
    places = ", ".join("?" * len(row))
    if not plan.execute(f"INSERT OR IGNORE INTO product ({names}) VALUES ({places})", list(row.values())).rowcount:
        raise Unusable("duplicate title and photo")

"""``products:DIR``: the folder layout of Kaggle's "Fashion Product Images" (P. Aggarwal): styles.csv, images/ID.jpg.

The set has no splits and no brands. Splits are made by a hash of the product's name, so that products of the same name (the
same article again, or in another size) stay together; brands are derived from the names.
"""

import contextlib
import csv
import functools
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa

from e2.data import cache
from e2.data.catalogue import FilesAndBytes
from e2.data.columns import Columns, normalise
from e2.data.shares import Shares, fraction
from e2.data.tables import require_columns
from e2.errors import InputError, printable

SHARES = Shares(val=0.05, test=0.05)  # of the product names
RENAMED = {
    "id": "product_id",
    "masterCategory": "category",
    "articleType": "sub_category",
    "baseColour": "colour",
    "productDisplayName": "caption",
}
WELL_KNOWN = 5  # products that make a brand well known
WEARER = re.compile(r"\s+(men|women|unisex|boys|girls|kids|man|woman|boy|girl|infant)('?s)?\b", re.IGNORECASE)


class KaggleSource:
    """The catalogue in a folder; ``argument`` is the part of the SPEC after the colon."""

    entities = ("gender", "category", "sub_category", "colour", "season", "year", "usage", "brand")
    one_split = False

    def __init__(self, argument: str):
        self.root = Path(argument).expanduser()
        self.file = self.root / "styles.csv"
        if not self.file.is_file():
            raise InputError(f"products:{argument}: no styles.csv in there; name the folder that holds it")

    def splits(self) -> tuple[str, ...]:
        """Splits made by us: see the module's docstring."""
        return ("train", "val", "test")

    def columns(self, split: str) -> tuple[str, ...]:
        """Columns of styles.csv by our names, with image and brand."""
        return tuple(read_styles(self.file).schema.names)

    def identity(self, split: str) -> list[object]:
        return [split, *cache.file_stamps([self.file])]

    def load(self, split: str, tags: Sequence[str], columns: Columns) -> functools.partial:
        require_columns(self.file, self.columns(split), columns.needed(tags))
        return functools.partial(load_split, self.file, split, tuple(tags), columns)

    def images(self, split: str, columns: Columns) -> FilesAndBytes:
        """Files below the folder."""
        return FilesAndBytes(self.root)


def load_split(file: Path, split: str, tags: Sequence[str], columns: Columns) -> pa.Table:
    """Loads the products of one split as a normalised table."""
    table = read_styles(file)
    names = table.column("caption").to_pylist()
    table = table.filter(pa.array([split_of(name) == split for name in names], pa.bool_()))
    return normalise(table, tags, columns, str(file), nulls=False)


def split_of(name: str) -> str:
    """Assigns train, val or test by the product's name alone, whatever else is in the catalogue."""
    return SHARES.split_at(fraction(" ".join(name.lower().split())))


@functools.lru_cache(maxsize=1)  # splits are opened one after the other
def _read_styles(stamp: tuple[str, int, int]) -> pa.Table:
    file = Path(stamp[0])
    try:
        lines = file.read_text(encoding="utf-8-sig").split("\n")  # not splitlines, which also splits at U+2028 and the like
    except UnicodeDecodeError as error:
        raise InputError(f"{file}: not UTF-8 text (byte {error.start:,}); save it as UTF-8") from error
    header = lines[0].split(",") if lines else []
    if header[-1:] != ["productDisplayName"] or header[0] != "id":
        raise InputError(
            f"{file}: the columns must be id, ..., productDisplayName (it has {printable(', '.join(header)) or 'none'})"
        )
    rows = [_cells(line, len(header)) for line in lines[1:] if line.strip()]
    table = {RENAMED.get(name, name): list(cells) for name, cells in zip(header, zip(*rows, strict=True), strict=True)}
    table["caption"] = [name.strip().strip('"').replace('""', '"') for name in table["caption"]]
    table["image"] = [f"images/{identifier}.jpg" for identifier in table["product_id"]]
    table["brand"] = brands_of(table["caption"])
    return pa.table(table)


def _cells(line: str, width: int) -> list[str]:
    """Cells of a row; the last one, the name, may hold commas without being quoted."""
    with contextlib.suppress(csv.Error):
        if len(cells := next(csv.reader([line]))) == width:
            return cells
    cells = line.split(",", width - 1)
    return cells + [""] * (width - len(cells))


def read_styles(file: Path) -> pa.Table:
    """Reads styles.csv with our column names, adding the columns image (a path) and brand."""
    return _read_styles(cache.file_stamps([file])[0])


def brands_of(names: Sequence[str]) -> list[str | None]:
    """Derives the brand of each display name, in its most frequent spelling; None if unknown.

    The brand is the words before Men, Women, ...; if few products have just these words (``Reebok Track Pants``), the longest
    well-known brand that they begin with. Without Men, Women, ... it is the longest brand that begins the name.
    """
    found = [WEARER.split(name, maxsplit=1)[0].strip() if WEARER.search(name) else "" for name in names]
    counts = Counter(brand.lower() for brand in found if brand)
    spellings = {brand.lower(): brand for brand, _ in reversed(Counter(filter(None, found)).most_common())}
    well_known = {brand: spellings[brand] for brand, count in counts.items() if count >= WELL_KNOWN}
    return [
        (_known_start(brand, well_known) if counts[brand.lower()] < WELL_KNOWN else None) or spellings[brand.lower()]
        if brand
        else _known_start(name, spellings)
        for name, brand in zip(names, found, strict=True)
    ]


def _known_start(name: str, known: dict[str, str]) -> str | None:
    words = name.lower().split()
    starts = (" ".join(words[:count]) for count in range(len(words), 0, -1))
    return next((known[start] for start in starts if start in known), None)

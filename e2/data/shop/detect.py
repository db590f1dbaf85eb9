"""Finds out whether data to import are an export of a shop system, or a table that has to be shaped first."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from e2.data import cells as cell
from e2.data import read
from e2.data.columns import Columns
from e2.data.shop.layout import LAYOUTS
from e2.data.shop.products import MOST_PHOTOS
from e2.data.shop.rows import kind_of_export
from e2.data.shop.source import ShopSource, export_files, split_name
from e2.data.tables import TableSource


def shop_source(
    spec: str,
    columns: Columns,
    *,
    group_by: str | None = None,
    caption: str | None = None,
    most_photos: int = MOST_PHOTOS,
    shaped: bool = False,
    tables: bool = True,
) -> ShopSource | None:
    """Source of an export to import; None for data that needs nothing but copying.

    Args:
        spec: ``shopify:FILE``, ``merchant:FILE``, a JSON document, a feed in XML, or a table or folder of tables.
        columns: of tables.
        group_by: column that the rows of one product share.
        caption: template.
        most_photos: of a product, at most.
        shaped: read a table product by product in any case.
        tables: look whether tables have to be shaped; False: they are none of ours.

    Raises:
        InputError: there is no such file.
    """
    options: dict[str, Any] = {"group_by": group_by, "caption": caption, "most_photos": most_photos}
    kind, _, _ = spec.partition(":")
    if kind in LAYOUTS:
        return ShopSource(export_files(spec), kind, columns, **options)
    path = Path(spec).expanduser()
    if path.is_file() and (form := kind_of_export(path)) != "table":
        return ShopSource({split_name(path): (path,)}, "merchant" if form == "xml" else "table", columns, **options)
    if not path.exists() or not tables:
        return None
    found = TableSource(path, columns)
    if shaped or group_by or caption or not all(_is_plain(file, columns) for some in found.files.values() for file in some):
        files = {split: found.files[split] for split in found.splits()}
        return ShopSource(files, "table", columns, one_split=found.one_split, **options)
    return None


def _is_plain(file: Path, columns: Columns) -> bool:
    """True for a table with the columns that are asked for and without photos on the web."""
    names = read.column_names(file, columns, [columns.id, columns.image, columns.caption])
    usual = {Columns.id: columns.id, Columns.image: columns.image, Columns.caption: columns.caption}
    if any(name == default and name not in names for default, name in usual.items()):
        return False
    if columns.image not in names:
        return True  # the plain way says what is wrong
    return not any(_names_urls(batch.column(columns.image)) for batch in read.read_batches(file, [columns.image], columns))


def _names_urls(cells: pa.Array) -> bool:
    values, _ = cell.flattened(cells)
    if pa.types.is_struct(values.type) and values.type.get_field_index("path") >= 0:
        values = values.field("path")
    if not cell.is_text(values.type):
        return False
    return bool(pc.any(pc.match_substring_regex(values.cast(pa.string()), r"^\s*([a-zA-Z][\w+.-]*:)?//")).as_py())

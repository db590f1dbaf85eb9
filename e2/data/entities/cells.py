"""Reads all columns of texts of a catalogue, without its photos."""

from collections import defaultdict
from itertools import chain
from pathlib import Path

import pyarrow as pa

from e2.data.columns import Columns
from e2.data.read import column_names
from e2.data.shop.detect import shop_source
from e2.data.shop.rows import export_rows
from e2.data.shop.source import ShopSource
from e2.data.sources import source_of
from e2.data.tables import TableSource

MOST_PRODUCTS = 200_000  # enough to tell what is a tag
Cells = dict[str, list[list[str]]]  # column -> the values of each product


def cells_of(spec: str, columns: Columns) -> Cells:
    """Columns of texts, with the values of each product, at most `MOST_PRODUCTS`."""
    export = None if Path(spec).expanduser().is_dir() else shop_source(spec, columns, tables=False)
    source = export or source_of(spec, columns)  # tables are read as they are
    if isinstance(source, ShopSource):
        tables = [export.products().slice(0, MOST_PRODUCTS) for export in source.exports.values()]
        fields = dict.fromkeys(chain.from_iterable(export.fields() for export in source.exports.values()))
        return {name: [values or [] for table in tables for values in _column(table, name)] for name in fields}
    if isinstance(source, TableSource):
        return _cells_of_tables([file for files in source.files.values() for file in files], columns)
    found: Cells = defaultdict(list)
    for split in source.splits():
        names = [name for name in source.columns(split) if name not in (columns.id, columns.image)]
        table = source.load(split, names, columns)().slice(0, MOST_PRODUCTS)
        for name in names:
            found[name] += [[text] if text else [] for text in table.column(f"tag:{name}").to_pylist()]
    return dict(found)


def _column(table: pa.Table, name: str) -> list[list[str] | None]:
    return table.column(name).to_pylist() if name in table.schema.names else [[]] * len(table)


def _cells_of_tables(files: list[Path], columns: Columns) -> Cells:
    names = list(dict.fromkeys(chain.from_iterable(column_names(file, columns) for file in files)))
    names = [name for name in names if name and name not in (columns.id, columns.image)]
    found: Cells = {name: [] for name in names}
    for file in files:
        there = set(column_names(file, columns))
        for row in export_rows(file, (), columns, [name for name in names if name in there]):
            if row.malformed is None:
                for name in names:
                    found[name].append(row.fields.get(name, []))
        if names and len(found[names[0]]) >= MOST_PRODUCTS:
            break
    return found

"""Reads exports row by row, whatever their format: names of fields with all their values as texts, photos apart."""

import json
from collections.abc import Collection, Iterator, Sequence
from itertools import chain, repeat
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa

from e2.data import cells as cell
from e2.data import read
from e2.data.canonical import strings
from e2.data.columns import MALFORMED, REGIONS, Columns, images
from e2.data.dialect import MARKS, open_bytes
from e2.data.shop.feed import feed_rows
from e2.data.shop.objects import fields_of, objects_of
from e2.errors import InputError, first_line, printable
from e2.json_once import doubled_key, loads_marked

HEAD = 1024  # bytes that tell XML and JSON from tables


class ShopPhoto(NamedTuple):
    """A photo inside the export, or its address: a path or a URL."""

    contents: bytes | None
    address: str | None


class ExportRow(NamedTuple):
    """A row's fields; ``malformed`` says why it cannot be read."""

    fields: dict[str, list[Any]]  # name -> its values: texts, of photos `ShopPhoto`
    malformed: str | None = None


def kind_of_export(file: Path) -> str:
    """``xml``, ``json`` or ``table``, by the ending or, where that tells nothing, by the first bytes."""
    if read.format_of(file):
        return "table"
    try:
        with open_bytes(file) as content:
            head = content.read(HEAD).lstrip(MARKS).replace(b"\0", b"").lstrip()  # UTF-16 has zeros
    except (OSError, EOFError) as error:
        reason = getattr(error, "strerror", None) or first_line(error)
        raise InputError(f"{file}: cannot be read ({reason}); name the file that the shop system wrote") from error
    return "xml" if head[:1] == b"<" else "json" if head[:1] in (b"{", b"[") else "table"


def field_names(file: Path, columns: Columns) -> list[str]:
    """Fields of an export, as it spells them."""
    kind = kind_of_export(file)
    if kind == "table":
        names = read.column_names(file, columns)
        if doubled := [name for name in dict.fromkeys(names) if name and names.count(name) > 1]:
            raise InputError(f"{file}: the column {printable(doubled[0])!r} occurs twice in it; rename one of them")
        return [name for name in names if name and name != REGIONS]
    return list(dict.fromkeys(chain.from_iterable(row.fields for row in export_rows(file, (), columns))))


def export_rows(
    file: Path, photos: Collection[str], columns: Columns, wanted: Sequence[str] | None = None
) -> Iterator[ExportRow]:
    """Yields the rows of a table, a feed (XML) or a JSON document, piece by piece (JSON documents whole).

    ``photos`` are the fields that hold photos or their addresses, ``wanted`` a table's columns to read; None: all.
    """
    kind = kind_of_export(file)
    if kind == "table":
        yield from _table_rows(file, photos, columns, field_names(file, columns) if wanted is None else wanted)
        return
    rows = ((fields, None) for fields in feed_rows(file)) if kind == "xml" else _json_rows(file)
    for fields, problem in rows:
        found = {
            name: [path for value in fields[name] for path in cell.paths_in(value)] for name in fields.keys() & set(photos)
        }
        shown = {name: [ShopPhoto(None, path) for path in paths if path] for name, paths in found.items()}
        yield ExportRow(fields | shown, problem)


def _json_rows(file: Path) -> Iterator[tuple[dict[str, list[str]], str | None]]:
    """Yields the fields of each product, and what is wrong with it."""
    for number, product in enumerate(objects_of(_document(file), str(file)), start=1):
        key = doubled_key(product)
        problem = f"repeated key: product {number:,} names {printable(key)!r} twice" if key is not None else None
        yield fields_of(product), problem


def _document(file: Path) -> Any:
    try:
        with open_bytes(file) as content:
            return loads_marked(content.read())  # in UTF-8, 16 or 32
    except json.JSONDecodeError as error:
        if error.msg == "Extra data":
            raise InputError(
                f"{file}, line {error.lineno:,}: more than one JSON document; name it .jsonl if each line is one"
            ) from error
        where = f"{file}, line {error.lineno:,}, character {error.colno:,}"
        raise InputError(f"{where}: no JSON from here on ({error.msg}); if the export broke off, write it again") from error
    except (UnicodeDecodeError, RecursionError, EOFError) as error:
        raise InputError(f"{file}: cannot be read ({first_line(error)}); save it as JSON in UTF-8") from error


def _table_rows(file: Path, photos: Collection[str], columns: Columns, wanted: Sequence[str]) -> Iterator[ExportRow]:
    for batch in read.read_batches(file, wanted, columns):
        names = [name for name in wanted if name not in photos and not cell.is_binary(_inner(batch.column(name).type))]
        lists: list[list[list[Any]]] = [_texts(batch.column(name)) for name in names]
        shown = [name for name in wanted if name in photos]
        lists += [_photos(batch.column(name), f"{file}: column {name!r}") for name in shown]
        malformed = batch.column(MALFORMED).to_pylist() if MALFORMED in batch.schema.names else repeat(None, len(batch))
        for problem, *values in zip(malformed, *lists, strict=True):
            yield ExportRow(dict(zip([*names, *shown], values, strict=True)), problem)


def _inner(kind: pa.DataType) -> pa.DataType:
    return kind.value_type if cell.is_list(kind) else kind


def _texts(cells: pa.Array) -> list[list[str]]:
    """Values of each cell: texts as they are, numbers and the like in canonical spelling."""
    values, rows = cell.spread(*cell.flattened(cells), cell.values_in, cell.may_be_literals)
    if not cell.is_text(values.type):
        try:
            values = strings(values)
        except pa.ArrowException:  # structs and the like
            values = cell.strings_of(map(cell.plain, values.to_pylist()))
    values = values.cast(pa.string())
    lists = cell.grouped(values, rows, values.is_valid(), len(cells)).to_pylist()
    return [[value for value in found if value.strip()] for found in lists]


def _photos(cells: pa.Array, where: str) -> list[list[ShopPhoto]]:
    try:
        lists = images(cells).to_pylist()
    except (pa.ArrowException, TypeError) as error:
        raise InputError(printable(f"{where} ({cells.type}) holds no photos: {first_line(error)}")) from error
    return [[ShopPhoto(photo["bytes"], photo["path"]) for photo in photos] for photos in lists]

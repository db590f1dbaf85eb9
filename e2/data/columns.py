"""Which columns of a table are what, and how each becomes one of the few forms that a catalogue keeps.

A table may hold images as bytes, paths or structs of both (the Hugging Face convention), one or several a product,
captions likewise, and ids and tags of any scalar type. `normalise` turns all of that, column-wise, into

| column | type | meaning |
|---|---|---|
| `product_id` | string | null where missing |
| `images` | list of struct of bytes and path | empty where missing; bytes win over the path |
| `captions` | list of string | empty where missing |
| `tag:ENTITY` | string | null where missing |
| `regions` | string | JSON of entity -> box, null where unknown |
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from e2.errors import InputError, first_line, printable

IMAGE = pa.struct([("bytes", pa.large_binary()), ("path", pa.string())])
# What spreadsheets and data frames write for "nothing"
MISSING_WORDS = pa.array(["", "#N/A", "N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null", "<NA>"])
REGIONS = "regions"


@dataclass(frozen=True)
class Columns:
    """The names of a table's columns."""

    image: str = "image"
    caption: str = "caption"
    id: str = "product_id"
    tags: Mapping[str, str] = field(default_factory=dict)  # entity -> column; not listed: named like the entity

    def of_tag(self, entity: str) -> str:
        """The column that holds an entity."""
        return self.tags.get(entity, entity)

    def needed(self, tags: Sequence[str]) -> dict[str, str]:
        """Column -> the option that names it, for every column that must be there."""
        named = {self.of_tag(entity): "--tags" for entity in tags}
        return named | {self.id: "--id-column", self.caption: "--caption-column", self.image: "--image-column"}


def parse_tags(text: str) -> tuple[tuple[str, ...], dict[str, str]]:
    """Reads ``--tags``: entities parted by commas, each with its column where that has another name.

    >>> parse_tags("brand,colour=baseColour")
    (('brand', 'colour'), {'brand': 'brand', 'colour': 'baseColour'})

    Raises:
        InputError: an empty name or an entity named twice.
    """
    columns: dict[str, str] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        entity, equals, column = (piece.strip() for piece in part.partition("="))
        if not entity or (equals and not column):
            raise InputError(f"--tags {text!r}: {part!r} lacks a name; write ENTITY or ENTITY=COLUMN")
        if entity in columns:
            raise InputError(f"--tags {text!r}: {entity!r} stands twice; name each entity once")
        columns[entity] = column or entity
    return tuple(columns), columns


def normalise(batch: pa.RecordBatch | pa.Table, tags: Sequence[str], columns: Columns, where: str) -> pa.Table:
    """Turns rows as they were read into the catalogue's own columns (see the head of this file).

    A column that is not in ``batch`` is left out; that it should be there was checked before.

    Raises:
        InputError: a column has a type that cannot mean what it should; ``where`` names the file in the message.
    """
    make = {"product_id": (columns.id, text), "captions": (columns.caption, texts), "images": (columns.image, images)}
    make |= {f"tag:{entity}": (columns.of_tag(entity), text) for entity in tags} | {REGIONS: (REGIONS, text)}
    done = {}
    for target, (column, convert) in make.items():
        if column not in batch.schema.names:
            continue
        cells = batch.column(column)
        cells = cells.combine_chunks() if isinstance(cells, pa.ChunkedArray) else cells
        try:
            done[target] = convert(cells)
        except (pa.ArrowException, TypeError) as error:
            role = target.removeprefix("tag:")
            # The type and the error name a stranger's fields
            reason = printable(f"({cells.type}) cannot be read as {role}: {first_line(error)}")
            raise InputError(f"{where}: column {column!r} {reason}") from error
    return pa.table(done)


def text(cells: pa.Array) -> pa.Array:
    """Any scalar column as trimmed strings, null for blanks and for the usual words for "nothing".

    Several values in one cell (a list) are joined by commas.
    """
    if _is_list(cells.type):
        cells = pc.binary_join(texts(cells), ", ")
    strings = pc.utf8_trim_whitespace(cells.cast(pa.string()))  # Arrow writes the float 2013.0 as 2013
    return pc.if_else(pc.is_in(strings, MISSING_WORDS), pa.scalar(None, pa.string()), strings)


def texts(cells: pa.Array) -> pa.ListArray:
    """A column of one or several texts a row as lists, without the blank ones."""
    values, rows = _values_and_rows(cells)
    values = text(values)
    return _grouped(values, rows, values.is_valid(), len(cells))


def images(cells: pa.Array) -> pa.ListArray:
    """A column of one or several images a row, as bytes, paths or structs of both, as lists of structs."""
    contents, paths, rows = _contents_and_paths(cells)
    contents = contents.cast(pa.large_binary())
    present = pc.or_(contents.is_valid(), paths.is_valid())
    return _grouped(pa.StructArray.from_arrays([contents, paths], fields=list(IMAGE)), rows, present, len(cells))


def image_places(cells: pa.Array, first_row: int) -> pa.ListArray:
    """The same images as lists of (row, place in what `images` gives for that row), without touching their bytes."""
    contents, paths, rows = _contents_and_paths(cells)
    present = pc.or_(contents.is_valid(), paths.is_valid())
    kept = rows[np.asarray(present)]
    places = np.arange(len(kept)) - np.searchsorted(kept, kept)  # rows ascend: count from the first of the same row
    values = pa.StructArray.from_arrays([pa.array(first_row + kept), pa.array(places)], names=["row", "place"])
    return _grouped(values, kept, pa.array(np.ones(len(kept), bool)), len(cells))


def _contents_and_paths(cells: pa.Array) -> tuple[pa.Array, pa.Array, np.ndarray]:
    """The bytes and the path of each image of a column, and the row it belongs to."""
    values, rows = _values_and_rows(cells)
    none = pa.nulls(len(values))
    if pa.types.is_struct(values.type):
        fields = dict(zip((part.name for part in values.type), values.flatten(), strict=True))
        contents, paths = fields.get("bytes", none), fields.get("path", none)
    elif _is_binary(values.type):
        contents, paths = values, none
    else:
        contents, paths = none, values
    return contents, text(paths), rows


def _values_and_rows(cells: pa.Array) -> tuple[pa.Array, np.ndarray]:
    """The cells without their lists, and the row that each value belongs to."""
    if not _is_list(cells.type):
        return cells, np.arange(len(cells))
    return pc.list_flatten(cells), np.asarray(pc.list_parent_indices(cells))


def _grouped(values: pa.Array, rows: np.ndarray, keep: pa.Array, count: int) -> pa.ListArray:
    """The values that are kept, as one list for each of ``count`` rows."""
    kept = np.asarray(keep)
    if not kept.all():
        values, rows = values.filter(keep), rows[kept]
    offsets = np.concatenate([[0], np.bincount(rows, minlength=count).cumsum()])
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), values)


def _is_list(kind: pa.DataType) -> bool:
    return pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)


def _is_binary(kind: pa.DataType) -> bool:
    return pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind)

"""Addresses of photos on the web in a normalised table, and the table without those that could not be fetched."""

from collections.abc import Callable, Iterator, Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from e2.data import cells as cell
from e2.data.columns import MALFORMED
from e2.data.shop.layout import Layout

ON_THE_WEB = r"(?i)^([a-z][a-z0-9+.-]+://|//[^/]+\.[a-z]+/)"  # `e2.data.paths.REMOTE` in the syntax of RE2
FILE = r"(?i)^file:"
NOT_FETCHED = "no photo could be fetched"


def addresses(table: pa.Table, layout: Layout, rows: np.ndarray) -> Iterator[str]:
    """Yields the addresses of some rows' photos, a mask, that are not local files, each once a chunk, in their order."""
    first = 0
    for chunk in table.column("images").chunks:
        photos, places = cell.flattened(chunk)
        paths = photos.field("path")
        wanted = pc.and_(_remote(paths, layout), pa.array(rows[first + places], pa.bool_()))
        yield from pc.unique(paths.filter(wanted)).to_pylist()
        first += len(chunk)


def all_on_the_web(table: pa.Table, layout: Layout) -> bool:
    """True if no photo is a local file or inside the table."""
    paths = (chunk.flatten().field("path") for chunk in table.column("images").chunks)
    return all(bool(pc.all(_remote(some, layout)).as_py()) for some in paths if len(some))


def loaded_without_lost(load: Callable[[], pa.Table], lost: Mapping[str, str]) -> pa.Table:
    """Loads a table `without_lost` photos."""
    return without_lost(load(), lost)


def without_lost(table: pa.Table, lost: Mapping[str, str]) -> pa.Table:
    """Same table without lost photos; a product that has no other gets their reason as a malformed row."""
    if not lost:
        return table
    gone = pa.array(lost, pa.string())
    images, reasons = [], []
    for chunk, malformed in zip(
        table.column("images").chunks, _alike(table.column("images"), table.column(MALFORMED)), strict=True
    ):
        photos, rows = cell.flattened(chunk)
        kept = pc.invert(pc.is_in(photos.field("path"), gone))
        images.append(cell.grouped(photos, rows, kept, len(chunk)))
        told = malformed.to_pylist()
        for row in np.flatnonzero(_lengths(chunk) & ~_lengths(images[-1])).tolist():
            told[row] = told[row] or f"{NOT_FETCHED}: {lost[chunk[row].values.field('path')[0].as_py()]}"
        reasons.append(pa.array(told, pa.string()))
    table = table.set_column(table.schema.get_field_index("images"), "images", pa.chunked_array(images))
    return table.set_column(table.schema.get_field_index(MALFORMED), MALFORMED, pa.chunked_array(reasons))


def _remote(paths: pa.Array, layout: Layout) -> pa.Array:
    remote = pc.match_substring_regex(paths, ON_THE_WEB)
    local = pc.match_substring_regex(paths, FILE)
    found = pc.and_(remote, pc.invert(local)) if layout.files_may_be_named else pc.or_(remote, local)
    return pc.fill_null(found, False)


def _lengths(lists: pa.ListArray) -> np.ndarray:
    """Mask of the rows with photos."""
    return np.asarray(pc.list_value_length(lists)) > 0


def _alike(chunked: pa.ChunkedArray, other: pa.ChunkedArray) -> Iterator[pa.Array]:
    """Slices another column as the first one is chunked."""
    first = 0
    for chunk in chunked.chunks:
        yield other.slice(first, len(chunk))
        first += len(chunk)

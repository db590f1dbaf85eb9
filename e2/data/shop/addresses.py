"""Addresses of photos on the web in a normalised table, and the rows that lost all of them."""

from collections.abc import Collection, Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from e2.data import cells as cell
from e2.data.shop.layout import Layout

ON_THE_WEB = r"(?i)^([a-z][a-z0-9+.-]+://|//[^/]+\.[a-z]+/)"  # `e2.data.paths.REMOTE` in the syntax of RE2
FILE = r"(?i)^file:"


def addresses(table: pa.Table, layout: Layout, rows: np.ndarray) -> Iterator[str]:
    """Yields the addresses of some rows' photos, a mask, that are not local files, each once a chunk, in their order."""
    first = 0
    for chunk in table.column("images").chunks:
        photos, places = cell.flattened(chunk)
        paths = photos.field("path")
        wanted = pc.and_(_remote(paths, layout), pa.array(rows[first + places], pa.bool_()))
        yield from pc.unique(paths.filter(wanted)).to_pylist()
        first += len(chunk)


def rows_that_lost_all(table: pa.Table, lost: Collection[str]) -> list[int]:
    """Rows with photos of which none is left without those at the addresses in ``lost``."""
    gone, found, first = pa.array(lost, pa.string()), [], 0
    for chunk in table.column("images").chunks:
        photos, rows = cell.flattened(chunk)
        there = np.asarray(pc.invert(pc.is_in(photos.field("path"), gone)))
        found += (first + np.setdiff1d(rows, rows[there])).tolist()
        first += len(chunk)
    return found


def _remote(paths: pa.Array, layout: Layout) -> pa.Array:
    remote = pc.match_substring_regex(paths, ON_THE_WEB)
    local = pc.match_substring_regex(paths, FILE)
    found = pc.and_(remote, pc.invert(local)) if layout.files_may_be_named else pc.or_(remote, local)
    return pc.fill_null(found, False)

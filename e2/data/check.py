"""Finds the rows of a catalogue that cannot be used, by cause, decoding every image once and remembering the verdict."""

import contextlib
import itertools
import json
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from rich.console import Console
from rich.progress import Progress

from e2.data import cache
from e2.data.catalogue import ImageStore
from e2.data.columns import printable
from e2.data.images import BadImage, MissingImage, UnreadableImage, check_image, reading_rules
from e2.errors import InputError
from e2.files import atomic_path

ROWS_PER_TASK = 64
MISSING, UNREADABLE = "missing image file", "unreadable image"
TASKS_AHEAD = 256  # handed to the threads at a time, so that memory does not grow with the catalogue
SHOWN = 10  # bad rows that an error names


class BadRow(NamedTuple):
    """A row that cannot be used."""

    row: int  # its place in the table, from 0
    cause: str  # no id, duplicate id, no text, no image, missing image file, unreadable image or broken image
    detail: str = ""  # what exactly is wrong with its image


def find_bad_rows(
    table: pa.Table, images: ImageStore, identity: Sequence[object] | None = None, progress: bool = False
) -> list[BadRow]:
    """Every unusable row of a normalised table, in order, each with the first cause that applies.

    ``identity`` (JSON-able) changes whenever the images may have; the verdict on them is cached under it. None: not cached.
    """
    bad = {row: BadRow(row, cause) for cause, rows in reversed(_bad_texts(table)) for row in rows.tolist()}
    if not images.may_be_damaged:
        bad_images = []
    elif identity is None:
        bad_images = list(_bad_images(table.column("images"), images, progress))
    else:
        bad_images = _cached_bad_images(table, images, identity, progress)
    return [found for _, found in sorted({**{found.row: found for found in bad_images}, **bad}.items())]


def require_policy(on_bad_row: str) -> None:
    """Refuses anything but ``error`` and ``skip``."""
    if on_bad_row not in ("error", "skip"):
        raise InputError(f"--on-bad-row {on_bad_row!r} is unknown; choose error or skip")


def count_causes(bad_rows: Sequence[BadRow]) -> dict[str, int]:
    """Cause -> number of rows, the most frequent first."""
    return dict(Counter(found.cause for found in bad_rows).most_common())


def describe(counts: dict[str, int]) -> str:
    """The counts in words, e.g. ``12 broken image, 3 no text``."""
    return ", ".join(f"{count:,} {cause}" for cause, count in counts.items())


def complain(where: str, table: pa.Table, bad_rows: Sequence[BadRow], first_row: int = 1) -> InputError:
    """The error that counts the bad rows and names the first ten, one a line; ``first_row`` numbers the table's first."""
    ids = table.column("product_id")
    lines = [
        f"{where}: {len(bad_rows):,} of {table.num_rows:,} rows cannot be used ({describe(count_causes(bad_rows))}); "
        "mend them, or leave them out by --on-bad-row skip"
    ]
    for row, cause, detail in bad_rows[:SHOWN]:
        name = "" if cause == "no id" else f", id {ids[row].as_py()[:40]!r}"
        lines.append(f"  row {row + first_row:,}{name}: {cause}" + (f" ({printable(detail)})" if detail else ""))
    return InputError("\n".join(lines))


def _bad_texts(table: pa.Table) -> list[tuple[str, np.ndarray]]:
    """Cause -> rows for all causes but the images themselves, the weightiest cause first."""
    ids = table.column("product_id").combine_chunks()
    numbers = np.asarray(pc.fill_null(pc.index_in(ids, pc.unique(ids)), -1))
    _, first = np.unique(numbers, return_index=True)
    repeated = np.setdiff1d(np.arange(len(numbers)), first)
    missing = np.flatnonzero(np.asarray(ids.is_null()))
    return [
        ("no id", missing),
        ("duplicate id", np.setdiff1d(repeated, missing)),
        ("no text", _empty(table.column("captions"))),
        ("no image", _empty(table.column("images"))),
    ]


def _empty(lists: pa.ChunkedArray) -> np.ndarray:
    return np.flatnonzero(np.asarray(pc.list_value_length(lists)) == 0)


def _cached_bad_images(table: pa.Table, images: ImageStore, identity: Sequence[object], progress: bool) -> list[BadRow]:
    stamps = images.digest(table.column("images"))
    file = cache.cache_folder() / "checks" / f"{cache.key(*identity, stamps, *reading_rules())}.json"
    with contextlib.suppress(OSError, ValueError, TypeError):  # absent or damaged: check again
        return [BadRow(*found) for found in json.loads(file.read_text())]
    found = list(_bad_images(table.column("images"), images, progress))
    if any(bad.cause == UNREADABLE or (bad.cause == MISSING and not stamps) for bad in found):
        return found  # next time the disk may be well again, or the file there
    with contextlib.suppress(InputError, OSError), atomic_path(file) as temporary:  # a read-only home only costs time
        temporary.write_text(json.dumps(found))
    return found


def _bad_images(cells: pa.ChunkedArray, images: ImageStore, progress: bool) -> Iterator[BadRow]:
    """Decodes all images with a few threads: Pillow's decoders leave Python's lock."""
    block = ROWS_PER_TASK * TASKS_AHEAD
    bar = Progress(console=Console(stderr=True), disable=not progress, transient=True)
    with ThreadPoolExecutor(os.cpu_count()) as pool, bar:
        task = bar.add_task("checking images", total=len(cells))
        for first in range(0, len(cells), block):
            starts = range(first, min(first + block, len(cells)), ROWS_PER_TASK)
            slices = (cells.slice(start, ROWS_PER_TASK) for start in starts)
            for start, found in zip(starts, pool.map(_bad_images_of, slices, itertools.repeat(images)), strict=True):
                yield from (BadRow(start + row, cause, detail) for row, cause, detail in found)
                bar.advance(task, min(ROWS_PER_TASK, len(cells) - start))


def _bad_images_of(cells: pa.ChunkedArray, images: ImageStore) -> list[BadRow]:
    found = []
    for row, cell in enumerate(cells):
        try:
            for entry in cell.values:
                check_image(images.read(entry.as_py()))
        except BadImage as error:
            found.append(BadRow(row, _cause(error), error.where if isinstance(error, MissingImage) else error.cause))
    return found


def _cause(error: BadImage) -> str:
    if isinstance(error, MissingImage):
        return MISSING
    return UNREADABLE if isinstance(error, UnreadableImage) else "broken image"

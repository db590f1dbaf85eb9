"""``hf-stream:...``: streams a Hugging Face data set once, so that it can be imported without a second copy.

Training and evaluation need random access, so only ``e2 data import`` takes a stream.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pyarrow as pa

from e2.counting import counted
from e2.data import check
from e2.data.catalogue import ArrowCatalogue, FilesAndBytes
from e2.data.columns import REGIONS, Columns, normalise
from e2.data.hub import folder_of, named_classes, opened, split_names
from e2.data.product import Product
from e2.data.tables import require_columns
from e2.errors import InputError
from e2.notes import say

PREFIX = "hf-stream:"
ROWS_AT_ONCE = 256


def refuse_stream(argument: str) -> NoReturn:
    """Refuses a stream, as every command but the import does."""
    raise InputError(
        f"{PREFIX}{argument}: a stream can only be read once; write it to disk by `e2 data import {PREFIX}{argument} --to "
        f"webdataset --out DIR`, or use hf:{argument}"
    )


class Stream:
    """The usable products of one split, once and in order. ``bad_rows`` counts, by cause, those left out so far.

    Rows are checked as they come. To notice duplicates, 8 bytes of each id's hash are kept.
    """

    def __init__(self, argument: str, split: str, *, tags: Sequence[str], columns: Columns, on_bad_row: str, progress: bool):
        self.name, self.split, self.tags = f"{PREFIX}{argument}", split, tuple(tags)
        self.bad_rows: Counter[str] = Counter()
        self.notes: dict[str, Counter[str]] = {}  # note -> value -> number of usable rows
        self._argument, self._columns = argument, columns
        self._on_bad_row, self._progress = on_bad_row, progress
        found = opened(argument, streaming=True)
        self._rows = found[split_names(found)[split]]

    def __iter__(self) -> Iterator[Product]:
        seen: set[int] = set()
        first_row = 0
        for table in self._tables():
            yield from self._usable(table, first_row, seen)
            first_row += len(table)
        lines = check.tell_notes(self.notes)
        if self.bad_rows:
            counts = check.describe(self.bad_rows)
            lines.insert(0, f"left out {self.bad_rows.total():,} of {counted(first_row, 'row')}: {counts}")
        for line in lines if self._progress else ():
            say(f"{self._where}: {line}")
        if first_row == self.bad_rows.total():
            raise InputError(f"{self._where}: there are no usable products; name another split")

    @property
    def _where(self) -> str:
        return f"{self.name}, split {self.split}"

    def _tables(self) -> Iterator[pa.Table]:
        for batch in self._rows.with_format("arrow").iter(batch_size=ROWS_AT_ONCE):
            require_columns(Path(self.name), batch.column_names, self._columns.needed(self.tags))
            wanted = [*self._columns.needed(self.tags), REGIONS]
            batch = batch.select([name for name in dict.fromkeys(wanted) if name in batch.column_names])
            yield normalise(named_classes(batch, self._rows.features), self.tags, self._columns, self.name)

    def _usable(self, table: pa.Table, first_row: int, seen: set[int]) -> Iterator[Product]:
        images = FilesAndBytes(folder_of(self._argument))
        bad, without = check.only_photos(check.find_bad_rows(table, images))
        doubles = {found.row: found for found in _doubles(table, {found.row for found in bad}, seen)}
        bad, without = sorted([*bad, *doubles.values()]), [found for found in without if found.row not in doubles]
        if (found := sorted([*bad, *without])) and self._on_bad_row == "error":
            raise check.complain(f"{self._where}, rows from {first_row + 1:,} on", table, found, first_row + 1)
        self.bad_rows.update(check.count_causes(bad))
        rows = np.setdiff1d(np.arange(len(table)), [found.row for found in bad])
        for what, values in check.count_notes(table, rows, without).items():
            self.notes.setdefault(what, Counter()).update(values)
        lost = check.photos_left_out(without)
        products = ArrowCatalogue(self.name, self.split, self.tags, lambda: table, images, rows=rows, lost=lost)
        yield from (products[row] for row in range(len(products)))


def _doubles(table: pa.Table, bad: set[int], seen: set[int]) -> list[check.BadRow]:
    """Finds rows whose id occurred in an earlier batch; remembers the others."""
    found = []
    for row, identifier in enumerate(table.column("product_id").to_pylist()):
        if row not in bad:
            if hash(identifier) in seen:
                found.append(check.BadRow(row, "duplicate id"))
            seen.add(hash(identifier))
    return found


def open_streams(
    spec: str, *, tags: Sequence[str] | None, columns: Columns | None, on_bad_row: str, progress: bool
) -> dict[str, Stream]:
    """Opens the splits of an ``hf-stream:`` SPEC: name -> products."""
    check.require_policy(on_bad_row)
    argument = spec.removeprefix(PREFIX)
    options: dict[str, Any] = {"tags": tags or (), "columns": columns or Columns(), "on_bad_row": on_bad_row}
    return {split: Stream(argument, split, progress=progress, **options) for split in split_names(opened(argument, True))}

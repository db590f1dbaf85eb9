"""Reads parquet, CSV, TSV and JSON-lines files as batches of Arrow columns, with actionable errors.

Text tables are read as texts: guessed types would turn the id 007 into 7. An unreadable row stays in its position, with the
cause in the column ``e2:malformed`` and null in all others.
"""

import contextlib
import csv
import itertools
import json
import operator
import re
import zlib
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet

from e2.data.cells import plain, strings_of, usual, without_formula
from e2.data.columns import MALFORMED, NOTE, NOTES, Columns
from e2.data.delimited import SHOWN, Delimited, trimmed_name
from e2.data.dialect import Dialect, dialect_of, foreign_byte, open_text
from e2.errors import InputError, in_short, printable
from e2.json_once import RepeatedKey, loads_once, object_once

TEXTS = (".csv", ".tsv", ".jsonl")
FORMATS = (".parquet", *TEXTS)
OWN_DELIMITERS = {".csv": ",", ".tsv": "\t", ".jsonl": ""}  # other endings (.txt): tabs
ENDING = re.compile(r"(\.parquet|(?:\.csv|\.tsv|\.jsonl|\.ndjson)(?:\.gz)?)$", re.IGNORECASE)
ROWS_PER_BATCH = 4096
JSON_ROWS_FOR_NAMES = 1000  # JSON rows may differ in their keys; this many usually show all columns


def format_of(file: Path) -> str | None:
    """Format implied by a file's ending, in any case, compressed or not; None for other files."""
    found = ENDING.search(file.name)
    return found[1].lower().removesuffix(".gz").replace(".ndjson", ".jsonl") if found else None


def stem_of(file: Path) -> str:
    """File name without its ending."""
    return ENDING.sub("", file.name)


def has_nulls(file: Path) -> bool:
    """True if the format has a null that differs from the word "None"."""
    return format_of(file) in (".parquet", ".jsonl")


def dialect(file: Path, columns: Columns) -> Dialect:
    """Dialect of a text table."""
    with _clear_errors(file):
        return dialect_of(file, OWN_DELIMITERS.get(str(format_of(file)), "\t"), columns.delimiter, columns.encoding)


def column_names(file: Path, columns: Columns, needed: Collection[str] = ()) -> list[str]:
    """Columns of a table file. JSON rows are read until all ``needed`` ones have occurred."""
    kind = format_of(file)
    with _clear_errors(file):
        if kind == ".parquet":
            with pyarrow.parquet.ParquetFile(file) as parquet:
                return list(map(trimmed_name, parquet.schema_arrow.names))
        if kind == ".jsonl":
            return _json_names(file, columns, needed)
        with _delimited(file, columns) as table:
            if not table.header:
                raise InputError(f"{file}: cannot be read (it is empty); name a table with a header and rows")
            return table.header


def read_batches(file: Path, wanted: Sequence[str], columns: Columns) -> Iterator[pa.RecordBatch]:
    """Yields some columns of a table file, a few thousand rows at a time, in the file's order."""
    read = {".parquet": _read_parquet, ".jsonl": _read_json}.get(str(format_of(file)), _read_delimited)
    with _clear_errors(file):
        yield from read(file, wanted, columns)


def _read_parquet(file: Path, wanted: Sequence[str], columns: Columns) -> Iterator[pa.RecordBatch]:
    with pyarrow.parquet.ParquetFile(file) as parquet:
        names = {trimmed_name(name): name for name in parquet.schema_arrow.names}
        for batch in parquet.iter_batches(ROWS_PER_BATCH, columns=[names[name] for name in wanted]):
            yield pa.record_batch({name: usual(batch.column(names[name])) for name in wanted})


def _read_delimited(file: Path, wanted: Sequence[str], columns: Columns) -> Iterator[pa.RecordBatch]:
    with _delimited(file, columns) as table:
        places = {name: table.header.index(name) for name in wanted}
        for part in table.parts(list(places.values())):
            if isinstance(part, pa.Table):
                columns_of_part = (column.combine_chunks() for column in part.columns)
                cells = {name: without_formula(column) for name, column in zip(places, columns_of_part, strict=True)}
                yield _batch(cells, pa.nulls(len(part), pa.string()), pa.nulls(len(part), pa.list_(NOTE)))
                continue
            cells = {
                name: without_formula(pa.array([None if row.malformed else row.cells[place] for row in part], pa.string()))
                for name, place in places.items()
            }
            notes = [[{"what": row.note, "value": f"line {row.line:,}"}] if row.note else None for row in part]
            yield _batch(cells, pa.array([row.malformed for row in part], pa.string()), pa.array(notes, pa.list_(NOTE)))


@contextlib.contextmanager
def _delimited(file: Path, columns: Columns) -> Iterator[Delimited]:
    found = dialect(file, columns)
    with open_text(file, found.encoding) as text:
        for _ in range(found.skip):
            text.readline()
        yield Delimited(text, found.delimiter, found.skip + 1)


def _read_json(file: Path, wanted: Sequence[str], columns: Columns) -> Iterator[pa.RecordBatch]:
    rows = _json_rows(file, columns)
    while batch := list(itertools.islice(rows, ROWS_PER_BATCH)):
        objects = [{} if isinstance(row, str) else row for row in batch]
        cells = {name: json_column(_values(objects, name)) for name in wanted}
        malformed = pa.array([row if isinstance(row, str) else None for row in batch], pa.string())
        yield _batch(cells, malformed, pa.nulls(len(batch), pa.list_(NOTE)))


def _values(objects: Sequence[dict], name: str) -> list[Any]:
    """Values of the objects under a name, None if absent."""
    with contextlib.suppress(KeyError):  # usually all have the same keys, and this is faster
        return list(map(operator.itemgetter(name), objects))
    return [row.get(name) for row in objects]


def _json_names(file: Path, columns: Columns, needed: Collection[str]) -> list[str]:
    names: dict[str, None] = {}
    problem = None
    for number, row in enumerate(_json_rows(file, columns)):
        if number >= JSON_ROWS_FOR_NAMES and names.keys() >= set(needed):
            break
        if isinstance(row, str):
            problem = problem or row
        else:
            names |= dict.fromkeys(row)
    if problem and not names:
        raise InputError(f"{file}, {printable(problem.partition(': ')[2])}; write one object per line")
    return list(names)


def _json_rows(file: Path, columns: Columns) -> Iterator[dict | str]:
    """Yields each row, or what is wrong with it."""
    # Not pyarrow.json: it turns texts that look like dates into dates, and fails on columns of mixed types
    decode = json.JSONDecoder(object_pairs_hook=object_once).raw_decode
    with open_text(file, dialect(file, columns).encoding) as lines:
        for number, line in enumerate(lines, start=1):
            try:
                row, end = decode(line)  # faster than `json.loads`
                plain = (
                    line[end:] in ("\n", "\r\n", "") and isinstance(row, dict) and (line.isascii() or not foreign_byte(line))
                )
            except (ValueError, RecursionError):
                plain = False
            if plain:
                yield row
            elif line.strip():
                yield _json_row(line, number)


def _json_row(line: str, number: int) -> dict | str:
    if byte := foreign_byte(line):
        return f"malformed row: line {number:,}, byte {byte} is not valid in the file's encoding"
    try:
        row = loads_once(line)
    except RepeatedKey as error:
        return f"repeated key: line {number:,} names {printable(str(error))!r} twice"
    except (ValueError, RecursionError) as error:
        return f"no JSON object: line {number:,}: not JSON ({error})"
    return (
        row if isinstance(row, dict) else f"no JSON object: line {number:,}: not an object ({printable(line.strip()[:SHOWN])})"
    )


def json_column(values: Sequence[Any]) -> pa.Array:
    """Turns JSON values of any and mixed types into one column of texts or lists of texts."""
    kinds = set(map(type, values))
    if list not in kinds:
        return strings_of(values if kinds <= {str, type(None)} else map(plain, values))
    lists = [value if isinstance(value, list) else [] if value is None else [value] for value in values]
    texts = strings_of(plain(value) for found in lists for value in found)
    return pa.ListArray.from_arrays(pa.array([0, *itertools.accumulate(map(len, lists))], pa.int32()), texts)


def _batch(cells: dict[str, pa.Array], malformed: pa.Array, notes: pa.Array) -> pa.RecordBatch:
    return pa.record_batch({**cells, MALFORMED: malformed, NOTES: notes})


@contextlib.contextmanager
def _clear_errors(file: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise InputError(f"{file}: there is no such file") from None
    except UnicodeError as error:
        raise InputError(
            f"{file}: cannot be decoded ({error}); name its encoding by --encoding, or save it as UTF-8"
        ) from error
    except (pa.ArrowException, OSError, EOFError, zlib.error, csv.Error) as error:
        raise InputError(f"{file}: cannot be read ({in_short(error)})") from error

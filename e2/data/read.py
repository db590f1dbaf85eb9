"""Parquet, CSV, TSV and JSON-lines files as batches of Arrow columns, with errors that a person can act on."""

import contextlib
import itertools
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from e2.data.columns import printable
from e2.errors import InputError

FORMATS = (".parquet", ".csv", ".tsv", ".jsonl")
ROWS_PER_BATCH = 4096
CSV_BLOCK_BYTES = 16 << 20  # also the longest row that can be read
JSON_ROWS_FOR_NAMES = 1000  # JSON rows may differ in their keys; so many of them tell which columns there are


def column_names(file: Path) -> list[str]:
    """The columns of a table file.

    Raises:
        InputError: the file is missing, empty or not what its ending says.
    """
    with _clear_errors(file):
        if file.suffix == ".parquet":
            with pyarrow.parquet.ParquetFile(file) as parquet:
                return parquet.schema_arrow.names
        if file.suffix == ".jsonl":
            return list(dict.fromkeys(key for row in itertools.islice(_json_rows(file), JSON_ROWS_FOR_NAMES) for key in row))
        with pyarrow.csv.open_csv(file, _csv_read(), _csv_parse(file)) as reader:
            return reader.schema.names


def read_batches(file: Path, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """Yields some columns of a table file, a few thousand rows at a time, in the file's order.

    Raises:
        InputError: the file is missing, damaged or not what its ending says.
    """
    read = {".parquet": _read_parquet, ".jsonl": _read_json}.get(file.suffix, _read_csv)
    with _clear_errors(file):
        yield from read(file, columns)


def _read_parquet(file: Path, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    with pyarrow.parquet.ParquetFile(file) as parquet:
        yield from parquet.iter_batches(ROWS_PER_BATCH, columns=list(columns))


def _read_csv(file: Path, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    # Everything as text: guessed types would turn the id 007 into 7
    convert = pyarrow.csv.ConvertOptions(include_columns=list(columns), column_types={name: pa.string() for name in columns})
    with pyarrow.csv.open_csv(file, _csv_read(), _csv_parse(file), convert) as reader:
        yield from reader


def _csv_read() -> pyarrow.csv.ReadOptions:
    return pyarrow.csv.ReadOptions(block_size=CSV_BLOCK_BYTES, use_threads=False)  # one thread counts the lines


def _csv_parse(file: Path) -> pyarrow.csv.ParseOptions:
    return pyarrow.csv.ParseOptions(delimiter="\t" if file.suffix == ".tsv" else ",", newlines_in_values=True)


def _read_json(file: Path, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    rows = _json_rows(file)
    while batch := list(itertools.islice(rows, ROWS_PER_BATCH)):
        yield pa.record_batch({name: json_column([row.get(name) for row in batch]) for name in columns})


def _json_rows(file: Path) -> Iterator[dict]:
    # Not pyarrow.json: that turns texts which look like dates into dates, and fails on columns of mixed types
    with file.open(encoding="utf-8-sig") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except (json.JSONDecodeError, RecursionError) as error:
                raise InputError(f"{file}, line {number}: not JSON ({error}); write one object a line") from error
            if not isinstance(row, dict):
                raise InputError(f"{file}, line {number}: not an object; write one object a line")
            yield row


def json_column(values: list) -> pa.Array:
    """Values out of JSON, of any and mixed types, as one Arrow column."""
    try:
        return pa.array(values)
    except (pa.ArrowException, OverflowError, UnicodeEncodeError):  # mixed types: as lists of texts
        lists = ([] if cell is None else cell if isinstance(cell, list) else [cell] for cell in values)
        return pa.array([[None if value is None else _plain(value) for value in cell] for cell in lists])


def _plain(value: object) -> str:
    return str(value).encode("utf-8", "replace").decode()  # JSON may escape half of a surrogate pair


@contextlib.contextmanager
def _clear_errors(file: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise InputError(f"{file}: there is no such file") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{file}: not UTF-8 text (byte {error.start:,}); save it as UTF-8") from error
    except (pa.ArrowException, OSError) as error:
        reason = printable(" ".join(str(error).split()))[:200]
        hint = "save it as UTF-8" if "UTF8" in reason else "quote cells that hold the delimiter" if "CSV pa" in reason else ""
        raise InputError(f"{file}: cannot be read ({reason})" + (f"; {hint}" if hint else "")) from error

"""The rows of a delimited file, one by one: a row that is not whole is handed on as such, and takes no other with it."""

import collections
import csv
import io
import itertools
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import pyarrow as pa
import pyarrow.csv

from e2.data.dialect import foreign_byte
from e2.errors import printable

BLOCK = 4096  # lines that are looked at together
LONGEST_TEXT = 1000  # lines: a quotation mark that opens and is still open after so many does not belong to a cell
LONGEST_CELL = 16 << 20  # letters
SHOWN = 80  # letters of a malformed row


class Row(NamedTuple):
    """One row; ``line`` is the number of its first line in the file."""

    line: int
    cells: list[str]
    malformed: str | None = None  # why it cannot be used
    note: str | None = None  # what its reader should know


def read_parts(lines: Iterator[str], delimiter: str, first_line: int = 1) -> Iterator[pa.Table | list[Row]]:
    """Yields the header, as a list of one row, then the rows that are not blank, some thousand at a time.

    A cell in quotation marks may span lines. Where one opens that never closes, or closes so late that whole rows lie within
    it, the mark is taken for a character (5" heels) and each line for a row.

    Args:
        lines: of the file, with their ends.
        delimiter: one character between cells.
        first_line: the number of the first line.

    Yields:
        Where each line is a whole row, as is the rule, a table of strings; else rows, of which some may be malformed.
    """
    csv.field_size_limit(LONGEST_CELL)
    source, width = _Lines(lines, first_line), 0
    reader = csv.reader(source, delimiter=delimiter)
    while block := source.ahead(BLOCK if width else 1):
        table = _plain_table(block, delimiter, width) if width else None
        if table is not None:
            source.drop()
            yield table
            continue
        rows, end = [], source.number + len(block)
        while source.number < end:
            row = _next_row(source, reader)
            if row:
                width = width or len(row.cells)
                rows.append(_checked(row, source, delimiter, width))
            source.begin()
        if rows:
            yield rows


class _Lines:
    """Lines for a csv reader that can be looked at ahead and handed back; keeps those of the row under way."""

    def __init__(self, lines: Iterator[str], first_line: int):
        self._lines, self._waiting = lines, collections.deque[str]()
        self.taken: list[str] = []
        self.number, self.unclosed = first_line, False

    def __iter__(self) -> "_Lines":
        return self

    def __next__(self) -> str:
        if len(self.taken) < LONGEST_TEXT:
            line = self._waiting.popleft() if self._waiting else next(self._lines, None)
            if line is not None:
                self.taken.append(line)
                return line
        self.unclosed = bool(self.taken)  # a reader asks for more only within a cell
        raise StopIteration

    def begin(self) -> None:
        """The next line begins a row."""
        self.number += len(self.taken)
        self.taken, self.unclosed = [], False

    def hand_back(self) -> None:
        """Leaves only the first line to the row under way."""
        self._waiting.extendleft(reversed(self.taken[1:]))
        del self.taken[1:]

    def ahead(self, count: int) -> list[str]:
        """The next lines, which stay the next ones; empty at the end."""
        self._waiting.extend(itertools.islice(self._lines, max(0, count - len(self._waiting))))
        return list(self._waiting)

    def drop(self) -> None:
        """Passes over the lines that were looked at."""
        self.number += len(self._waiting)
        self._waiting.clear()


def _plain_table(block: Sequence[str], delimiter: str, width: int) -> pa.Table | None:
    """The rows of some lines by Arrow, which is many times faster; None unless each line is one whole row."""
    end = delimiter.join(["end"] * width)  # a cell that is still open would swallow it
    try:
        data = "".join([*block, "" if block[-1].endswith(("\n", "\r")) else "\n", end]).encode()
        table = pyarrow.csv.read_csv(
            io.BytesIO(data),
            pyarrow.csv.ReadOptions(autogenerate_column_names=True, block_size=len(data), use_threads=False),
            pyarrow.csv.ParseOptions(delimiter=delimiter),
            pyarrow.csv.ConvertOptions(column_types={f"f{place}": pa.string() for place in range(width)}),
        )
    except (pa.ArrowInvalid, UnicodeEncodeError):
        return None
    whole = table.num_columns == width and table.num_rows == len(block) + 1
    return table.slice(0, len(block)) if whole and table.column(0)[-1].as_py() == "end" else None


def _next_row(source: _Lines, reader: Iterator[list[str]]) -> Row | None:
    """The next row as the csv reader sees it; None for a blank one."""
    try:
        cells = next(reader)
    except csv.Error as error:
        return Row(source.number, [], str(error))
    blank = not cells or (len(cells) == 1 and not cells[0].strip())
    return None if blank else Row(source.number, cells)


def _problem(cells: list[str], width: int, lines: list[str]) -> str | None:
    byte = next(filter(None, map(foreign_byte, lines)), None)
    if byte:
        return f"byte {byte} is not of the file's encoding"
    if len(cells) != width:
        return f"{len(cells)} cells, not {width}"
    return None


def _checked(row: Row, source: _Lines, delimiter: str, width: int) -> Row:
    """The row with what is wrong with it, or that of its first line alone where a stray quotation mark has run on."""
    row = row._replace(malformed=row.malformed or _problem(row.cells, width, source.taken))
    if len(source.taken) > 1 or source.unclosed:
        like_rows = [line.count(delimiter) == width - 1 and f"{delimiter} " not in line for line in source.taken]
        if row.malformed or source.unclosed or all(like_rows):
            source.hand_back()
            return _first_line(row, source.taken[0], delimiter, width)
        if any(like_rows[1:]):
            return row._replace(note="text over several lines that may be rows (a stray quotation mark?)")
    return row if row.malformed is None else row._replace(malformed=_told(row, source.taken[0]))


def _first_line(row: Row, line: str, delimiter: str, width: int) -> Row:
    if not _open_quote(line, delimiter):
        cells = next(csv.reader([line], delimiter=delimiter))
        if _problem(cells, width, [line]) is None:
            return Row(row.line, cells)
    cells = next(csv.reader([line], delimiter=delimiter, quoting=csv.QUOTE_NONE))
    problem = _problem(cells, width, [line])
    if problem is None:
        return Row(row.line, cells, note="quotation mark that never closes, taken for a character")
    return Row(row.line, cells, _told(row._replace(malformed=problem), line))


def _open_quote(line: str, delimiter: str) -> bool:
    """Whether a cell of the line is still open at its end."""
    following = "end"
    *_, last = csv.reader([line, following], delimiter=delimiter)
    return last != [following]


def _told(row: Row, line: str) -> str:
    return f"malformed row: line {row.line:,}, {row.malformed}: {printable(line.strip()[:SHOWN])}"

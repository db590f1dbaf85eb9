"""Reads a delimited file row by row; a malformed row is reported as such and damages no other."""

import collections
import csv
import io
import string
from collections.abc import Iterator, Sequence
from typing import NamedTuple, TextIO

import numpy as np
import pyarrow as pa
import pyarrow.csv

from e2.data.dialect import foreign_byte
from e2.errors import printable

PIECE = 1 << 20  # characters looked at together
LONGEST_TEXT = 1000  # lines: a quotation mark still open after so many does not open a cell
LONGEST_CELL = 16 << 20  # characters
SHOWN = 80  # characters of a malformed row
INVISIBLE = string.whitespace + "\u00a0\ufeff\u200b\u200e\u200f\u2060"  # marks of byte order and direction among them


class Row(NamedTuple):
    """One row; ``line`` is the number of its first line in the file."""

    line: int
    cells: list[str]
    malformed: str | None = None  # why it cannot be used
    note: str | None = None  # notes for its reader


class Delimited:
    """Reads the rows of an open file, except blank ones; ``text``, opened with ``newline=""``, stands at its header.

    A cell in quotation marks may span lines. If a mark never closes, or only after whole rows, it is taken for a character (5"
    heels) and each line for a row.
    """

    def __init__(self, text: TextIO, delimiter: str, first_line: int = 1):
        csv.field_size_limit(LONGEST_CELL)
        self._source, self._delimiter = _Lines(text, first_line), delimiter
        self._reader = csv.reader(self._source, delimiter=delimiter)
        header = None
        while header is None and self._source.ahead():
            header = self._row()
        self.header = [trimmed_name(cell) for cell in header.cells] if header else []  # empty if the file is

    def parts(self, places: Sequence[int]) -> Iterator[pa.Table | list[Row]]:
        """Yields the rows below the header, a few thousand at a time.

        If each line is a whole row, as usual, they are a table of strings with the columns at ``places`` (0, 1, ...) in that
        order; otherwise rows, some of which may be malformed.
        """
        while piece := self._source.ahead():
            table = _plain_table(piece, self._delimiter, len(self.header), places)
            if table is not None:
                self._source.drop(len(table))
                yield table
                continue
            rows, end = [], self._source.number + _count_lines(piece)
            while self._source.number < end:
                if row := self._row(len(self.header)):
                    rows.append(row)
            if rows:
                yield rows

    def _row(self, width: int = 0) -> Row | None:
        """Reads the row that begins on the next line, of so many cells (0: any number); None for a blank one."""
        row = _next_row(self._source, self._reader)
        if row:
            width = width or len(row.cells)
            row = _checked(_without_surplus(row, width), self._source, self._delimiter, width)
        self._source.begin()
        return row


def trimmed_name(name: str) -> str:
    """Name of a column without the blanks and invisible letters around it, which nobody can type."""
    return name.strip(INVISIBLE)


class _Lines:
    """Lines for a csv reader, with look-ahead and push-back; keeps those of the current row."""

    def __init__(self, text: TextIO, first_line: int):
        self._text, self._waiting = text, collections.deque[str]()
        self._piece = ""  # read, but not yet split into lines; comes after the pending ones
        self.taken: list[str] = []
        self.number, self.unclosed = first_line, False

    def __iter__(self) -> "_Lines":
        return self

    def __next__(self) -> str:
        if len(self.taken) < LONGEST_TEXT:
            if not self._waiting:
                self._waiting.extend(io.StringIO(self.ahead(), newline=""))
                self._piece = ""
            if self._waiting:
                self.taken.append(self._waiting.popleft())
                return self.taken[-1]
        self.unclosed = bool(self.taken)  # a reader asks for more only within a cell
        raise StopIteration

    def begin(self) -> None:
        """Marks the next line as the beginning of a row."""
        self.number += len(self.taken)
        self.taken, self.unclosed = [], False

    def hand_back(self) -> None:
        """Leaves only the first line to the current row."""
        self._waiting.extendleft(reversed(self.taken[1:]))
        del self.taken[1:]

    def ahead(self) -> str:
        """Peeks at a piece of whole lines, which stay the next ones; empty at the end."""
        if self._waiting:
            self._piece = "".join(self._waiting) + self._piece
            self._waiting.clear()
        if len(self._piece) < PIECE // 2:
            self._piece += self._text.read(PIECE) + self._text.readline()
        return self._piece

    def drop(self, lines: int) -> None:
        """Skips the piece that was peeked at."""
        self.number += lines
        self._piece = ""


def _count_lines(piece: str) -> int:
    ends = piece.count("\n") + (piece.count("\r") - piece.count("\r\n") if "\r" in piece else 0)
    return ends + (not piece.endswith(("\n", "\r")))


def _plain_table(piece: str, delimiter: str, width: int, places: Sequence[int]) -> pa.Table | None:
    """Parses lines with Arrow, which is many times faster; None unless each line is one whole row."""
    end = delimiter.join(["end"] * width)  # an open cell would swallow it
    wanted = [f"f{place}" for place in dict.fromkeys([*places, 0])]
    try:
        data = "".join([piece, "" if piece.endswith(("\n", "\r")) else "\n", end]).encode()
        table = pyarrow.csv.read_csv(
            pa.BufferReader(data),
            pyarrow.csv.ReadOptions(
                column_names=[f"f{place}" for place in range(width)], block_size=len(data), use_threads=False
            ),
            pyarrow.csv.ParseOptions(delimiter=delimiter),
            pyarrow.csv.ConvertOptions(column_types=dict.fromkeys(wanted, pa.string()), include_columns=wanted),
        )
    except (pa.ArrowInvalid, UnicodeEncodeError):
        return None
    count = np.count_nonzero(np.frombuffer(data, np.uint8) == ord("\n")) if "\r" not in piece else _count_lines(piece)
    whole = table.num_rows == count + 1 and table.column("f0")[-1].as_py() == "end"
    return table.slice(0, count).select([f"f{place}" for place in places]) if whole else None


def _next_row(source: _Lines, reader: Iterator[list[str]]) -> Row | None:
    """Reads the next row with the csv reader; None for a blank one."""
    try:
        cells = next(reader)
    except csv.Error as error:
        return Row(source.number, [], str(error))
    blank = not cells or (len(cells) == 1 and not cells[0].strip())
    return None if blank else Row(source.number, cells)


def _without_surplus(row: Row, width: int) -> Row:
    """Row without empty cells beyond the header's last one, as where each line ends with the delimiter."""
    return row if len(row.cells) <= width or any(row.cells[width:]) else row._replace(cells=row.cells[:width])


def _problem(cells: list[str], width: int, lines: list[str]) -> str | None:
    byte = next(filter(None, map(foreign_byte, lines)), None)
    if byte:
        return f"byte {byte} is not valid in the file's encoding"
    if len(cells) != width:
        return f"{len(cells)} cells, not {width}"
    return None


def _checked(row: Row, source: _Lines, delimiter: str, width: int) -> Row:
    """Describes what is wrong with the row, reduced to its first line if a stray quotation mark has run on."""
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
    """True if a cell of the line is still open at its end."""
    following = "end"
    *_, last = csv.reader([line, following], delimiter=delimiter)
    return last != [following]


def _told(row: Row, line: str) -> str:
    return f"malformed row: line {row.line:,}, {row.malformed}: {printable(line.strip()[:SHOWN])}"

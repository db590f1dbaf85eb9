"""Reads a delimited file row by row; a malformed row is reported as such and damages no other."""

import collections
import csv
import io
import string
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple, TextIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
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

        If nothing is odd about them, as usual, they are a table of strings with the columns at ``places`` (0, 1, ...) in that
        order; otherwise rows, some of which may be malformed.
        """
        while piece := self._source.ahead():
            whole = _plain_table(piece, self._delimiter, len(self.header), places)
            whole = whole or _quoted_table(piece, self._delimiter, len(self.header))
            if whole is not None:
                self._source.drop(whole.lines, whole.rest)
                yield whole.table.select([f"f{place}" for place in places])
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

    def drop(self, lines: int, rest: str) -> None:
        """Skips lines of the piece that was peeked at, of which only ``rest`` remains."""
        self.number += lines
        self._piece = rest


def _count_lines(piece: str) -> int:
    ends = piece.count("\n") + (piece.count("\r") - piece.count("\r\n") if "\r" in piece else 0)
    return ends + (not piece.endswith(("\n", "\r")))


class Whole(NamedTuple):
    """Whole rows at the beginning of a piece."""

    table: pa.Table  # of strings, with the columns f0, f1, ...
    lines: int
    rest: str = ""  # of the piece


def _plain_table(piece: str, delimiter: str, width: int, places: Sequence[int]) -> Whole | None:
    """Parses lines with Arrow, which is many times faster; None unless each line is one whole row."""
    count = _count_lines(piece)
    table = _parsed(piece, delimiter, width, places, over_lines=False)
    return Whole(table, count) if table is not None and table.num_rows == count else None


def _quoted_table(piece: str, delimiter: str, width: int) -> Whole | None:
    """Parses rows with cells over several lines; None if there is more to say of any row than its cells."""
    if '"' not in piece or width < 2 or piece.count("\r") > piece.count("\r\n"):
        return None
    data = np.frombuffer(piece.encode("utf-8", "surrogatepass"), np.uint8)
    closed = np.flatnonzero((data == ord("\n")) & (np.cumsum(data == ord('"'), dtype=np.uint8) % 2 == 0))  # ends of rows
    if not len(closed):
        return None
    end = int(closed[-1]) + 1
    rows, rest = (part.tobytes().decode("utf-8", "surrogatepass") for part in (data[:end], data[end:]))
    table = _parsed(rows, delimiter, width, range(width), over_lines=True)
    if table is None:
        return None
    counts = (np.asarray(pc.count_substring(column, "\n")) for column in table.columns)
    inner = {place: lines for place, lines in enumerate(counts) if lines.any()}
    lines = table.num_rows + sum(int(each.sum()) for each in inner.values())
    longest = max((int(each.max()) for each in inner.values()), default=0)
    if lines != _count_lines(rows) or longest >= LONGEST_TEXT or _holds_rows(table, inner, delimiter):
        return None
    return Whole(table, lines, rest)


def _holds_rows(table: pa.Table, inner: Mapping[int, np.ndarray], delimiter: str) -> bool:
    """True if a line within a row may be a row, as where a stray quotation mark has run on.

    ``inner`` counts the line breaks in the cells of each column that has any.
    """
    most = table.num_columns - 1  # delimiters in a row
    for place, breaks in inner.items():
        several = table.select(range(place, most + 1)).filter(pa.array(breaks > 0))
        for text, *behind in zip(*(column.to_pylist() for column in several.columns), strict=True):
            *within, last = text.split("\n")[1:]
            if any(line.count(delimiter) == most and f"{delimiter} " not in line for line in within):
                return True
            line = delimiter.join([last, *behind])
            like_row = line.count(delimiter) == most and not any(f"{delimiter} " in cell for cell in (last, *behind))
            if like_row or "\n" in line:
                return True
    return False


def _parsed(rows: str, delimiter: str, width: int, wanted: Iterable[int], *, over_lines: bool) -> pa.Table | None:
    """Parses the wanted columns of rows with Arrow; None if a row has another width, or if the last is open."""
    end = delimiter.join(["end"] * width)  # an open cell would swallow it
    names = [f"f{place}" for place in range(width)]
    texts = [names[place] for place in dict.fromkeys([0, *wanted])]
    try:
        data = "".join([rows, "" if rows.endswith(("\n", "\r")) else "\n", end]).encode()
        table = pyarrow.csv.read_csv(
            pa.BufferReader(data),
            pyarrow.csv.ReadOptions(column_names=names, block_size=len(data), use_threads=False),
            pyarrow.csv.ParseOptions(delimiter=delimiter, newlines_in_values=over_lines),
            pyarrow.csv.ConvertOptions(column_types=dict.fromkeys(texts, pa.string()), include_columns=texts),
        )
    except (pa.ArrowInvalid, UnicodeEncodeError):
        return None
    return table.slice(0, table.num_rows - 1) if table.column("f0")[-1].as_py() == "end" else None


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

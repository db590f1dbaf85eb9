"""The rows of a delimited file, one by one: a row that is not whole is handed on as such, and takes no other with it."""

import collections
import csv
from collections.abc import Iterator
from typing import NamedTuple

from e2.data.dialect import foreign_byte
from e2.errors import printable

LONGEST_TEXT = 1000  # lines: a quotation mark that opens and is still open after so many does not belong to a cell
LONGEST_CELL = 16 << 20  # letters
SHOWN = 80  # letters of a malformed row


class Row(NamedTuple):
    """One row; ``line`` is the number of its first line in the file."""

    line: int
    cells: list[str]
    malformed: str | None = None  # why it cannot be used
    note: str | None = None  # what its reader should know


def read_rows(lines: Iterator[str], delimiter: str, width: int | None = None, first_line: int = 1) -> Iterator[Row]:
    """Yields the rows that are not blank.

    A cell in quotation marks may span lines. Where one opens that never closes, or closes so late that whole rows lie within
    it, the mark is taken for a character (5" heels) and each line for a row.

    Args:
        lines: of the file, with their ends.
        delimiter: one character between cells.
        width: how many cells a row must have; None: the first row's number.
        first_line: the number of the first line.
    """
    csv.field_size_limit(LONGEST_CELL)
    source = _Lines(lines, first_line)
    reader = csv.reader(source, delimiter=delimiter)
    while True:
        source.begin()
        problem: str | None = None
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            cells, problem = [], str(error)
        if not cells and problem is None or (len(cells) == 1 and not cells[0].strip()):
            continue
        width = width or len(cells)
        row = Row(source.number, cells, problem or _problem(cells, width, source.taken))
        yield _checked(row, source, delimiter, width)


class _Lines:
    """Lines for a csv reader that can be handed back; keeps those of the row under way."""

    def __init__(self, lines: Iterator[str], first_line: int):
        self._lines, self._returned = lines, collections.deque[str]()
        self.taken: list[str] = []
        self.number, self.unclosed = first_line, False

    def __iter__(self) -> "_Lines":
        return self

    def __next__(self) -> str:
        if len(self.taken) < LONGEST_TEXT:
            line = self._returned.popleft() if self._returned else next(self._lines, None)
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
        self._returned.extendleft(reversed(self.taken[1:]))
        del self.taken[1:]


def _problem(cells: list[str], width: int, lines: list[str]) -> str | None:
    byte = next(filter(None, map(foreign_byte, lines)), None)
    if byte:
        return f"byte {byte} is not of the file's encoding"
    if len(cells) != width:
        return f"{len(cells)} cells, not {width}"
    return None


def _checked(row: Row, source: _Lines, delimiter: str, width: int) -> Row:
    """The row, or that of its first line alone where a stray quotation mark has run on."""
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

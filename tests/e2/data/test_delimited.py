"""Rows of delimited files: Arrow reads them where that gives what the row reader would, however quotation marks stand."""

import csv
import io
import random

import pytest

from e2.data import delimited
from e2.data.delimited import Delimited


def rows_of(text):
    """(cells, what is wrong, notes) of each row below the header."""
    reader, found = Delimited(io.StringIO(text, newline=""), ","), []
    for part in reader.parts(range(len(reader.header))):
        if isinstance(part, list):
            found += [(tuple(row.cells), row.malformed, row.note) for row in part]
        else:
            found += [(cells, None, None) for cells in zip(*(column.to_pylist() for column in part.columns), strict=True)]
    return found


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("piece", [400, 1 << 20])
def test_texts_over_several_lines_need_no_row_by_row_reading(monkeypatch, end, piece):
    rows = [[str(i), f'soft collar, slim{end}{end}- 5" heel', f"b{i}"] for i in range(20)]
    text = io.StringIO()
    csv.writer(text, lineterminator=end).writerows([["id", "caption", "brand"], *rows])
    monkeypatch.setattr(delimited, "PIECE", piece)
    reader = Delimited(io.StringIO(text.getvalue(), newline=""), ",")
    monkeypatch.setattr(reader, "_row", lambda *_: pytest.fail("read row by row"))
    parts = list(reader.parts([0, 1, 2]))
    assert [list(row.values()) for part in parts for row in part.to_pylist()] == rows


def drawn(seed):
    """A table with quotation marks, line breaks and delimiters in its cells, now and then without the marks they need."""
    draw = random.Random(seed)
    width, end = draw.choice([2, 3, 5]), draw.choice(["\n", "\r\n"])
    odd = [",", ", ", '"', end, "é", "a b"]

    def cell():
        text = "".join(draw.choice(odd if draw.random() < 0.3 else "abc") for _ in range(draw.randrange(8)))
        bare = draw.random() < 0.03 or not (set(text) & set(',"\r\n') or draw.random() < 0.2)
        return text if bare else f'"{text.replace(chr(34), chr(34) * 2)}"'

    lines = [",".join(f"h{place}" for place in range(width))]
    lines += [",".join(cell() for _ in range(width)) for _ in range(draw.randrange(1, 25))]
    return end.join(lines) + draw.choice(["", end, end * 2])


def test_both_ways_of_reading_give_the_same_rows(monkeypatch):
    monkeypatch.setattr(delimited, "PIECE", 64)
    tables = [drawn(seed) for seed in range(100)]
    quick = list(map(rows_of, tables))
    monkeypatch.setattr(delimited, "_quoted_table", lambda *_: None)
    monkeypatch.setattr(delimited, "_plain_table", lambda *_: None)
    assert list(map(rows_of, tables)) == quick

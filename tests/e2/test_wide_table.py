"""Tables whose columns go on below where a terminal is too narrow: nothing wraps, nothing is lost."""

import io
import re

import pytest
from rich.console import Console
from rich.table import Table
from rich.text import Text

from e2.wide_table import WideTable

HEADINGS = ("encoder", "method", "a − multifield-pooled", "R@10", "12.5 (10.0 to 15.0)", "SumR")
TITLE = "a title that is longer than any table, but not than the terminal"


def printed(table: Table, width: int) -> list[str]:
    console = Console(width=width, file=io.StringIO())
    console.print(table)
    return console.file.getvalue().splitlines()


def filled(kind: type[Table], **options) -> Table:
    table = kind(*HEADINGS, title=Text(TITLE), caption="[dim]below[/dim]", **options)
    for row in range(3):
        table.add_row(*(f"{heading} {row}" for heading in HEADINGS), end_section=row == 1)
    return table


@pytest.mark.parametrize("width", [70, 75, 80])
@pytest.mark.parametrize("keys", [1, 2])
def test_cells_stay_whole_and_each_table_begins_with_the_keys(width, keys):
    lines = printed(filled(WideTable, keys=keys), width)
    rows = [[cell.strip() for cell in re.split("[│┃]", line)[1:-1]] for line in lines if line[0] in "│┃"]
    heads, shown = [row for row in rows if row[0] == "encoder"], [row for row in rows if row[0] != "encoder"]
    assert len(heads) > 1 and all(row[:keys] == list(HEADINGS[:keys]) for row in heads)
    assert [name for row in heads for name in row[keys:]] == list(HEADINGS[keys:])
    assert shown == [[f"{heading} {row}" for heading in head] for head in heads for row in range(3)]
    assert lines[0] == TITLE and lines[-1] == "below"
    assert len(printed(filled(Table), width)) != len(printed(filled(Table), 200))  # which wraps there


def test_a_wide_terminal_shows_one_table_as_rich_does():
    plain = printed(filled(Table), 200)
    assert printed(filled(WideTable), 200)[1:-1] == [line.strip() for line in plain[1:-1]]


def test_a_column_alone_may_be_wider_than_the_terminal():
    lines = printed(filled(WideTable), 30)
    assert max(map(len, lines[1:])) <= 30 and "multifield" in "".join(lines)

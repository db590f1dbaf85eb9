"""Tables of comparisons for the terminal."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Column, Table
from rich.text import Text

from e2.benchmarks.core.comparison import COMPARISON, Comparison, short_names
from e2.benchmarks.core.support import sign, signed

SIDE_BY_SIDE = 3  # encoders that fit a terminal as columns, with their differences
A_TABLE = 3  # metrics per table if encoders are rows
IN_FILE = f"; paired differences are in {COMPARISON} (--out)"


def metrics_table(comparison: Comparison, names: Sequence[str], title: str, caption: str, digits: int = 1) -> RenderableType:
    """Tabulates metrics by encoder with intervals, then paired differences; * marks intervals that exclude zero.

    Three encoders have a table of their own, and their differences another. With more, columns would be too narrow: then
    encoders are rows, a few metrics make a table, and differences are only in the file. Names come from users, so they are
    ``Text``, never markup.
    """
    if len(comparison.results) > SIDE_BY_SIDE:
        parts = [names[start : start + A_TABLE] for start in range(0, len(names), A_TABLE)]
        return Group(Text(title, style="bold"), *(_rows(comparison, part, digits) for part in parts), Text(caption + IN_FILE))
    shown = dict(zip((record["model"]["path"] for record in comparison.results), short_names(comparison), strict=True))
    values = {shown[record["model"]["path"]]: [cell(record, name, digits) for name in names] for record in comparison.results}
    differences = {
        f"{shown[difference['second']]} − {shown[difference['first']]}": [
            difference_cell(difference, name, digits) for name in names
        ]
        for difference in comparison.differences
    }
    if len(comparison.results) < SIDE_BY_SIDE:
        return _columns(names, values | differences, title, caption)
    return Group(_columns(names, values, title), _columns(names, differences, "Paired differences", caption))


def _columns(names: Sequence[str], cells: Mapping[str, Sequence[str]], title: str, caption: str | None = None) -> Table:
    """Tabulates a metric per row; cells: heading -> its column."""
    columns = (Column(Text(heading), justify="right", overflow="fold") for heading in cells)
    table = Table("metric", *columns, title=Text(title), caption=Text(caption) if caption else None)
    for name, *row in zip(names, *cells.values(), strict=True):
        table.add_row(Text(name.replace("_", " ")), *row)
    return table


def _rows(comparison: Comparison, names: Sequence[str], digits: int) -> Table:
    """Tabulates an encoder per row."""
    columns = (Column(Text(name.replace("_", " ")), justify="right", no_wrap=True) for name in names)
    table = Table(Column(overflow="fold"), *columns)
    for short, record in zip(short_names(comparison), comparison.results, strict=True):
        table.add_row(Text(short), *(cell(record, name, digits) for name in names))
    return table


def cell(record: Mapping[str, Any], name: str, digits: int = 1) -> str:
    """Formats value and interval; empty if an encoder has no such metric."""
    if name not in record["metrics"]:
        return ""
    value, bounds = f"{record['metrics'][name]:.{digits}f}", record["ci95"].get(name)
    return f"{value} ({bounds[0]:.{digits}f} to {bounds[1]:.{digits}f})" if bounds else value


def difference_cell(difference: Mapping[str, Any], name: str, digits: int = 1) -> str:
    """Formats a difference and its interval, with a star if that excludes zero."""
    if name not in difference["metrics"]:
        return ""
    value, bounds = difference["metrics"][name], difference["ci95"].get(name)
    star = "*" if sign(value, bounds, digits) else ""
    told = f" ({' to '.join(signed(end, digits) for end in bounds)})" if bounds else ""
    return f"{signed(value, digits)}{star}{told}"

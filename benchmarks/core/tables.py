"""Tables of comparisons for the terminal."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Column
from rich.text import Text

from e2.benchmarks.core.comparison import COMPARISON, Comparison, short_names
from e2.benchmarks.core.support import sign, signed
from e2.wide_table import WideTable

SIDE_BY_SIDE = 3  # encoders that are columns, with their differences
IN_FILE = f"; paired differences are in {COMPARISON} (--out)"


def metrics_table(comparison: Comparison, names: Sequence[str], title: str, caption: str, digits: int = 1) -> RenderableType:
    """Tabulates metrics by encoder with intervals, then paired differences; * marks intervals that exclude zero.

    Three encoders have a table of their own, and their differences another. More encoders are rows, and differences are only
    in the file. Names come from users, so they are ``Text``, never markup.
    """
    results, short = comparison.results, short_names(comparison)
    if len(results) > SIDE_BY_SIDE:
        table = _table("", [name.replace("_", " ") for name in names], title, caption + IN_FILE)
        for name, record in zip(short, results, strict=True):
            table.add_row(Text(name), *(cell(record, metric, digits) for metric in names))
        return table
    shown = dict(zip((record["model"]["path"] for record in results), short, strict=True))
    values = {shown[record["model"]["path"]]: [cell(record, name, digits) for name in names] for record in results}
    differences = {
        f"{shown[difference['second']]} − {shown[difference['first']]}": [
            difference_cell(difference, name, digits) for name in names
        ]
        for difference in comparison.differences
    }
    if len(results) < SIDE_BY_SIDE:
        return _by_metric(names, values | differences, title, caption)
    return Group(_by_metric(names, values, title), _by_metric(names, differences, "Paired differences", caption))


def _by_metric(names: Sequence[str], cells: Mapping[str, Sequence[str]], title: str, caption: str = "") -> WideTable:
    """Tabulates a metric per row; cells: heading -> its column."""
    table = _table("metric", list(cells), title, caption)
    for name, *row in zip(names, *cells.values(), strict=True):
        table.add_row(Text(name.replace("_", " ")), *row)
    return table


def _table(corner: str, headings: Sequence[str], title: str, caption: str) -> WideTable:
    columns = (Column(Text(heading), justify="right") for heading in headings)
    return WideTable(corner, *columns, title=Text(title), caption=Text(caption) if caption else None)


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

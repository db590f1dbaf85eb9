"""Tabulates a record of `e2 speed` for a terminal of 80 columns."""

import re
from collections.abc import Iterator, Sequence
from typing import Any

from rich.cells import cell_len
from rich.console import Group
from rich.table import Column, Table
from rich.text import Text

from e2.benchmarks.speed.record import flat

WIDTH = 80
UNITS = {"bytes": "MB", "s": "s", "ms": "ms", "us": "µs"}  # ends of names


def speed_table(record: dict[str, Any]) -> Group:
    """Tabulates all numbers, and the points of each series side by side; then the machine and the settings."""
    facts, metrics = record["machine"], record["metrics"]
    series = {name: rows for name, rows in record["details"].items() if rows and isinstance(rows[0], dict)}
    parts: list[Table | Text] = [Text(f"speed of {record['protocol']}", style="bold")]
    if metrics:
        parts += _tables([spelled(name) for name in metrics], [[shown(name, metrics[name]) for name in metrics]])
    for name, rows in series.items():
        if len(series) > 1:
            parts.append(Text(spelled(name), style="bold"))
        parts += _points(rows)
    where = f"{facts['gpu'] or facts['processor']}, {facts['cores']} cores, {facts['threads']} threads, torch {facts['torch']}"
    settings = "; ".join(f"{name}={_setting(value)}" for name, value in record["settings"].items() if value != "")
    return Group(*parts, Text(f"{where}\n{settings}"))


def spelled(name: str) -> str:
    """Spells out a measure: ``all_p50_ms`` -> ``all p50 (ms)``."""
    return re.sub(f"_({'|'.join(UNITS)})$", lambda found: f" ({UNITS[found[1]]})", name).replace("_", " ")


def shown(name: str, value: float | str) -> str:
    """Formats a value: bytes as megabytes, other numbers to three digits."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "yes" if value else "no"
    if name.endswith("_bytes"):
        return f"{value / 1e6:,.0f}"
    return f"{value:,}" if isinstance(value, int) else f"{value:.3g}" if abs(value) < 100 else f"{value:,.0f}"


def _setting(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)


def _points(rows: Sequence[dict[str, Any]]) -> list[Table]:
    """Tabulates a column per point, headed by its first entry, a row per measure."""
    points = [flat(row) for row in rows]
    names = list(dict.fromkeys(name for point in points for name in point))
    columns = [[shown(name, point[name]) if name in point else "–" for name in names] for point in points]
    return _tables([spelled(name) for name in names], columns, head=True)


def _tables(labels: Sequence[str], columns: Sequence[Sequence[str]], head: bool = False) -> list[Table]:
    """Puts columns beside labels, in as many tables as the width asks for; ``head``: their first cells are headings."""
    tables = []
    for part in _fitting(columns, WIDTH - 1 - _width(labels)):
        first, *others = zip(labels, *part, strict=True)
        if not head:
            first, others = ("measure", "value"), [first, *others]
        tables.append(Table(first[0], *(Column(Text(name), justify="right", no_wrap=True) for name in first[1:])))
        for row in others:
            tables[-1].add_row(*map(Text, row))
    return tables


def _fitting(columns: Sequence[Sequence[str]], room: int) -> Iterator[list[Sequence[str]]]:
    """Divides columns into groups that fit, each of one at least."""
    group: list[Sequence[str]] = []
    for column in columns:
        if group and sum(map(_width, group)) + _width(column) > room:
            yield group
            group = []
        group.append(column)
    yield group


def _width(column: Sequence[str]) -> int:
    """Width in a table: cells, a blank on each side, a line."""
    return 3 + max(map(cell_len, column))

"""Tabulates a record of `e2 speed` for a terminal."""

import re
from collections.abc import Iterable, Sequence
from typing import Any

from rich.console import Group
from rich.table import Column
from rich.text import Text

from e2.benchmarks.speed.record import JOINT
from e2.settings import flattened
from e2.wide_table import WideTable

UNITS = {"bytes": "MB", "s": "s", "ms": "ms", "us": "µs"}  # ends of names


def speed_table(record: dict[str, Any]) -> Group:
    """Tabulates all numbers, and the points of each series side by side; then the machine and the settings."""
    facts, metrics = record["machine"], record["metrics"]
    series = {name: rows for name, rows in record["details"].items() if rows and isinstance(rows[0], dict)}
    parts: list[WideTable | Text] = [Text(f"speed of {record['protocol']}", style="bold")]
    if metrics:
        parts.append(_table([("measure", "value"), *((spelled(name), shown(name, value)) for name, value in metrics.items())]))
    for name, rows in series.items():
        if len(series) > 1:
            parts.append(Text(spelled(name), style="bold"))
        parts.append(_points(rows))
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


def _points(rows: Sequence[dict[str, Any]]) -> WideTable:
    """Tabulates a column per point, headed by its first entry, a row per measure."""
    points = [flattened(row, JOINT) for row in rows]
    names = dict.fromkeys(name for point in points for name in point)
    return _table([spelled(name), *(shown(name, point[name]) if name in point else "–" for point in points)] for name in names)


def _table(rows: Iterable[Sequence[str]]) -> WideTable:
    """Tabulates rows below the first, which holds the headings."""
    (corner, *headings), *rest = rows
    table = WideTable(corner, *(Column(Text(name), justify="right") for name in headings))
    for row in rest:
        table.add_row(*map(Text, row))
    return table

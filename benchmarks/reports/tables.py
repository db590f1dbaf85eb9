"""A table as HTML (by the macro in ``parts.html``), Markdown, LaTeX or for a terminal; texts are escaped in each."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.table import Column
from rich.text import Text

from e2.benchmarks.core.support import sign, signed
from e2.files import atomic_path
from e2.wide_table import WideTable

BREAKS = re.compile(r"[\s\x00-\x1f\x7f\x85\u2028\u2029]+")
LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "−": "$-$",
    **{character: f"\\{character}" for character in "&%$#_{}"},
}


@dataclass(frozen=True)
class Cell:
    """A value with its ``interval`` in words; flagged if the ``best`` of its row or, for a difference, if clear of zero and
    ``below`` it.
    """

    text: str
    interval: str = ""
    best: bool = False
    below: bool = False


@dataclass(frozen=True)
class Table:
    """Rows of cells, each with a name in front."""

    title: str  # heading above it
    head: list[str]  # names of the columns, without that of the rows' names
    rows: dict[str, list[Cell]]  # name -> cells, as many as the head
    note: str = ""  # text below it
    corner: str = "metric"


def value_cell(record: Mapping[str, Any], name: str, best: bool = False) -> Cell:
    """A metric of a record with its interval; a dash where there is no such metric."""
    if name not in record["metrics"]:
        return Cell("–")
    value, bounds = record["metrics"][name], record["ci95"].get(name)
    return Cell(f"{value:.1f}", f"{bounds[0]:.1f} to {bounds[1]:.1f}" if bounds else "", best)


def difference_cell(pair: Mapping[str, Any], name: str) -> Cell:
    """The same of a paired difference, marked where its interval supports one; see `e2.benchmarks.core.support`."""
    if name not in pair["metrics"]:
        return Cell("–")
    value, bounds = pair["metrics"][name], pair["ci95"].get(name)
    if bounds is None:
        return Cell(signed(value))
    clear = sign(value, bounds)
    return Cell(signed(value), " to ".join(map(signed, bounds)), clear != 0, below=clear < 0)


def write_texts(out: Path, names: tuple[str, str], tables: Sequence[Table], heading: str = "") -> None:
    """The tables as a file of Markdown, below a heading, and one of LaTeX."""
    forms = heading + "\n".join(map(to_markdown, tables)), "\n".join(map(to_latex, tables))
    for name, text in zip(names, forms, strict=True):
        with atomic_path(out / name) as path:
            path.write_text(text, encoding="utf-8")


def to_markdown(table: Table) -> str:
    """Writes GitHub's Markdown; best cells are bold."""
    rows = [[_markdown(name) for name in (table.corner, *table.head)]]
    rows += [[_markdown(name), *map(_markdown_cell, cells)] for name, cells in table.rows.items()]
    head, *lines = (f"| {' | '.join(row)} |" for row in rows)
    rule = "|" + "---|" * (1 + len(table.head))
    return "\n".join([f"**{_markdown(table.title)}**", "", head, rule, *lines, "", _markdown(table.note), ""])


def for_terminal(table: Table) -> WideTable:
    """Makes a table for the terminal; best cells are bold."""
    columns = (Column(Text(name), justify="right") for name in table.head)
    shown = WideTable(table.corner, *columns, title=Text(table.title), caption=Text(table.note))
    for name, cells in table.rows.items():
        texts = (f"{cell.text} ({cell.interval})" if cell.interval else cell.text for cell in cells)
        shown.add_row(Text(name), *(Text(text, "bold" if cell.best else "") for text, cell in zip(texts, cells, strict=True)))
    return shown


def to_latex(table: Table) -> str:
    """Writes a booktabs table; best cells are bold, intervals small after them."""
    columns = "l" + "r" * len(table.head)
    lines = [r"\begin{table}", r"\centering", rf"\caption{{{_latex(table.title)}. {_latex(table.note)}}}"]
    lines += [rf"\begin{{tabular}}{{{columns}}}", r"\toprule", " & ".join(map(_latex, [table.corner, *table.head])) + r" \\"]
    lines.append(r"\midrule")
    for name, cells in table.rows.items():
        lines.append(" & ".join([_latex(name), *map(_latex_cell, cells)]) + r" \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", r"\end{table}", ""])


def _markdown_cell(cell: Cell) -> str:
    value = f"**{_markdown(cell.text)}**" if cell.best else _markdown(cell.text)
    return f"{value} ({_markdown(cell.interval)})" if cell.interval else value


def _markdown(text: str) -> str:
    return re.sub(r"([\\`*_\[\]<>|~])", r"\\\1", _line(text)).replace("&", "&amp;")


def _latex_cell(cell: Cell) -> str:
    value = rf"\textbf{{{_latex(cell.text)}}}" if cell.best else _latex(cell.text)
    return rf"{value} {{\scriptsize ({_latex(cell.interval)})}}" if cell.interval else value


def _latex(text: str) -> str:
    return "".join(LATEX.get(character, character) for character in _line(text))


def _line(text: str) -> str:
    return BREAKS.sub(" ", text).encode("utf-8", "replace").decode()

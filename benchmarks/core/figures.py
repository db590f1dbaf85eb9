"""Style of all figures: colour-blind safe colours, quiet axes, three files per figure."""

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure  # drawn without pyplot: no window, no global state

from e2.files import atomic_path

FIGURE, CURVES = "figure", "curves"  # names without suffixes
ENDINGS = ("png", "svg", "pdf")
# Okabe and Ito (2008), without yellow, which is invisible on white. A method has the same colour in all figures.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#4D4D4D")
OF_METHOD = {
    "e2": "#D55E00",
    "e2-paper": "#E69F00",
    "clip": "#0072B2",
    "multifield": "#009E73",
    "filip": "#CC79A7",
    "clip-lite": "#56B4E9",
}
GREY, INK = "#8A8A8A", "#222222"
STYLE: dict[Any, Any] = {
    "font.size": 10,
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
    "axes.edgecolor": GREY,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": "#E6E6E6",
    "legend.frameon": False,
    "text.parse_math": False,  # names come from users, who may mean their dollars
    "svg.fonttype": "none",  # text stays text
    "pdf.fonttype": 42,
    "svg.hashsalt": "e2",  # equal numbers give equal files
}


def colours(names: Iterable[str]) -> dict[str, str]:
    """Assigns each name a colour: a method's own, or else the next free one."""
    names = list(names)
    taken = {OF_METHOD[name] for name in names if name in OF_METHOD}
    free = [colour for colour in COLOURS if colour not in taken] or list(COLOURS)
    others = [name for name in names if name not in OF_METHOD]
    return OF_METHOD | {name: free[place % len(free)] for place, name in enumerate(others)}


@contextmanager
def figure_file(path: Path, size: tuple[float, float], columns: int = 1) -> Iterator[list[Axes]]:
    """Yields axes side by side, then writes ``path`` + .png, .svg and .pdf, each whole or not at all; ``size`` in inches."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=size, layout="constrained")
        yield list(figure.subplots(1, columns, squeeze=False)[0])
        for ending in ENDINGS:
            with atomic_path(path.with_name(f"{path.name}.{ending}")) as temporary, warnings.catch_warnings():
                warnings.filterwarnings("ignore", "Glyph")  # a label may hold characters that the font lacks
                metadata = {"pdf": {"CreationDate": None}, "svg": {"Date": None}}.get(ending)
                figure.savefig(temporary, dpi=160, facecolor="white", metadata=metadata)


def scores_at(record: Mapping[str, Any], names: Iterable[str]) -> tuple[np.ndarray, np.ndarray]:
    """Values (N,) and intervals (N, 2) of some metrics of a record; NaN where it has none."""
    names = list(names)
    bounds = [record["ci95"].get(name, (np.nan, np.nan)) for name in names]
    return np.array([record["metrics"].get(name, np.nan) for name in names]), np.array(bounds)


def draw_curve(axes: Axes, x: Sequence[float], values: Any, bounds: Any, label: str, colour: str, stroke: Any = "-") -> None:
    """Draws a curve of values (N,) in the band of their intervals (N, 2)."""
    axes.fill_between(x, *np.transpose(bounds), color=colour, alpha=0.12, linewidth=0)
    axes.plot(x, values, color=colour, linestyle=stroke, marker="o", markersize=4, label=label)


def label_groups(axes: Axes, names: Iterable[str]) -> None:
    """Names the groups of vertical bars below the axis, without ticks, and draws the grid behind the bars."""
    labels = [name.replace("_", " ") for name in names]
    axes.set_xticks(range(len(labels)), labels, parse_math=False)
    axes.tick_params(axis="x", length=0)
    axes.grid(True, axis="y")

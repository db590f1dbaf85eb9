"""Style of all figures: colour-blind safe colours, quiet axes, three files per figure."""

import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib
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
    """Yields axes side by side, then writes ``path`` + .png, .svg and .pdf, each whole or not at all.

    Args:
        path: without suffix.
        size: of the whole, in inches.
    """
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=size, layout="constrained")
        yield list(figure.subplots(1, columns, squeeze=False)[0])
        for ending in ENDINGS:
            with atomic_path(path.with_name(f"{path.name}.{ending}")) as temporary, warnings.catch_warnings():
                warnings.filterwarnings("ignore", "Glyph")  # a label may hold characters that the font lacks
                metadata = {"pdf": {"CreationDate": None}, "svg": {"Date": None}}.get(ending)
                figure.savefig(temporary, dpi=160, facecolor="white", metadata=metadata)

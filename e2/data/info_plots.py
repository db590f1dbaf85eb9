"""Draws the pictures of `e2 data info`: the long tail of each entity's values, and a sheet of sample products."""

import math
import textwrap
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure  # drawn without pyplot: no window, no global state
from matplotlib.ticker import NullFormatter, StrMethodFormatter
from PIL import ImageOps

from e2.counting import counted
from e2.data.images import load_image
from e2.data.product import Catalogue
from e2.files import atomic_path

COLOURS = ("#2a6f97", "#c1666b", "#4d9078", "#b08968", "#7d5ba6", "#d08c3f", "#457b9d", "#6b705c")
PANELS_PER_ROW = 3
NAMED_VALUES = 4  # values labelled beside each curve
SHEET_ROWS, SHEET_COLUMNS = 4, 6
CAPTION_WIDTH, CAPTION_LINES = 26, 3


def save_tag_plot(counts: Mapping[str, Counter[str]], out: Path) -> None:
    """Writes ``out/tags.png``: for each entity, products per value against the value's rank, both on log axes.

    A straight decline is a long tail: a few values on most products, and many values on a handful.
    """
    panels = max(1, len(counts))
    across = 2 if panels == 4 else min(PANELS_PER_ROW, panels)
    down = math.ceil(panels / across)
    figure = Figure(figsize=(4.4 * across, 3.6 * down), layout="constrained")
    axes = figure.subplots(down, across, squeeze=False).ravel()
    for unused in axes[len(counts) :]:
        unused.axis("off")
    if not counts:
        axes[0].text(0.5, 0.5, "no tags were named", ha="center", va="center", color="0.4")
    for place, (entity, values) in enumerate(counts.items()):
        _draw_tail(axes[place], entity, values.most_common(), COLOURS[place % len(COLOURS)])
    _save(figure, Path(out) / "tags.png")


def _draw_tail(axes: Axes, entity: str, values: Sequence[tuple[str, int]], colour: str) -> None:
    axes.set_title(f"{entity}: {counted(len(values), 'value')}", loc="left", fontsize=11, parse_math=False)
    axes.set(xscale="log", yscale="log", xlabel="rank of the value", ylabel="products")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
        axis.set_minor_formatter(NullFormatter())
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(True, which="major", color="0.92")
    axes.set_axisbelow(True)
    if not values:
        return
    ranks, sizes = np.arange(1, len(values) + 1), np.array([count for _, count in values])
    axes.plot(ranks, sizes, color=colour, linewidth=1.2, marker="o", markersize=3)
    axes.fill_between(ranks, sizes, 0.8, color=colour, alpha=0.12, linewidth=0)
    axes.set_xlim(0.9, max(2, len(values)) * 1.3)
    axes.set_ylim(0.8, sizes[0] * 2.2)
    for place in np.unique(np.geomspace(1, len(values), NAMED_VALUES).round().astype(int)) - 1:
        last = place > 0 and place == len(values) - 1  # left of its point, below the falling curve
        axes.annotate(
            textwrap.shorten(values[place][0], 22, placeholder="..."),
            (ranks[place], sizes[place]),
            xytext=(-7, -3) if last else (3, 6),
            textcoords="offset points",
            fontsize=8,
            ha="right" if last else "left",
            color="0.25",
            parse_math=False,
        )


def save_contact_sheet(catalogue: Catalogue, out: Path, *, seed: int = 0) -> None:
    """Writes ``out/contact_sheet.png``: up to 24 random products, each with the start of its caption."""
    count = min(SHEET_ROWS * SHEET_COLUMNS, len(catalogue))
    chosen = np.random.default_rng(seed).choice(len(catalogue), count, replace=False)
    down = math.ceil(count / SHEET_COLUMNS)
    figure = Figure(figsize=(2.1 * SHEET_COLUMNS, 2.75 * down), layout="constrained")
    for axes in figure.subplots(down, SHEET_COLUMNS, squeeze=False).ravel():
        axes.axis("off")
    for axes, index in zip(figure.axes, chosen, strict=False):
        product = catalogue[int(index)]
        axes.imshow(ImageOps.pad(load_image(product.images[0]), (256, 256), color="white"))
        lines = textwrap.wrap(product.captions[0], CAPTION_WIDTH, max_lines=CAPTION_LINES, placeholder="...")
        axes.set_title("\n".join(lines), y=-0.04, va="top", fontsize=8, color="0.2", parse_math=False)
    _save(figure, Path(out) / "contact_sheet.png")


def _save(figure: Figure, path: Path) -> None:
    with atomic_path(path) as temporary, warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph")  # a caption may hold characters that the font lacks
        figure.savefig(temporary, dpi=120, facecolor="white")

"""Draws a contact sheet of a composed search."""

import math
import textwrap
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure  # drawn without pyplot: no window, no global state
from PIL import Image, ImageOps

from e2.adapters.search.store import IndexHit
from e2.data.images import load_image
from e2.errors import escaped, printable
from e2.files import atomic_path

COLUMNS, WIDTH, LINES = 5, 26, 3


def save_sheet(
    reference: Image.Image, wish: str, hits: Sequence[IndexHit], photos: Sequence[bytes | Path | None], path: Path
) -> None:
    """Writes a PNG: the reference with the wish, then the hits with scores, descriptions and tags."""
    down = math.ceil((1 + len(hits)) / COLUMNS)
    figure = Figure(figsize=(2.1 * COLUMNS, 3.1 * down), layout="constrained")
    axes = figure.subplots(down, COLUMNS, squeeze=False).ravel()
    for ax in axes:
        ax.axis("off")
    _draw(axes[0], reference, ["reference", *_wrapped(f"wish: {wish}", 6)], "#c1666b")
    for rank, (ax, hit, photo) in enumerate(zip(axes[1:], hits, photos, strict=False), start=1):
        tags = _wrapped(", ".join(hit.tags.values()), LINES)
        lines = [f"{rank}.  {hit.score:.3f}", *_wrapped(hit.caption or hit.product_id, LINES), *tags]
        _draw(ax, None if photo is None else load_image(photo), lines, "0.2")
    with atomic_path(path) as temporary, warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph")  # a description may hold characters that the font lacks
        figure.savefig(temporary, dpi=120, facecolor="white")


def _draw(ax: Axes, image: Image.Image | None, lines: list[str], colour: str) -> None:
    shown = Image.new("RGB", (256, 256), "#eeeeee") if image is None else ImageOps.pad(image, (256, 256), color="white")
    ax.imshow(np.asarray(shown))
    ax.set_title("\n".join(map(printable, lines)), y=-0.04, va="top", fontsize=8, color=colour, parse_math=False)


def _wrapped(text: str, lines: int) -> list[str]:
    return textwrap.wrap(escaped(text), WIDTH, max_lines=lines, placeholder="...")

"""What a composed search found: records, a table for the terminal, and a contact sheet."""

import math
import textwrap
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure  # drawn without pyplot: no window, no state left behind
from PIL import Image, ImageOps
from rich.table import Table
from rich.text import Text

from e2.data.images import load_image
from e2.errors import escaped, printable
from e2.files import atomic_path

COLUMNS, WIDTH, LINES = 5, 26, 3


@dataclass(frozen=True)
class ComposedHit:
    """One product found; caption, tags and photo where the catalogue is at hand."""

    rank: int
    score: float
    product_id: str
    caption: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    image: bytes | Path | None = None

    def record(self) -> dict:
        found = {"rank": self.rank, "score": round(self.score, 5), "product_id": self.product_id}
        return found | {"caption": self.caption, "tags": dict(self.tags)}


def shown(value: Any) -> str:
    """A step of a query in one printable line."""
    if isinstance(value, Mapping):
        value = [f"{name} {words}" for name, words in value.items()]
    return printable(value if isinstance(value, str) else ", ".join(map(str, value)))


def hits_table(hits: Sequence[ComposedHit], wish: str) -> Table:
    """For the terminal; texts of a catalogue are never markup, nor terminal codes."""
    table = Table(title=Text(f"like the photo, but: {printable(wish)}"))
    for number in ("rank", "score"):
        table.add_column(number, justify="right")
    for words in ("product", "description", "tags"):
        table.add_column(words)
    for hit in hits:
        cells = (str(hit.rank), f"{hit.score:.3f}", hit.product_id, hit.caption, ", ".join(hit.tags.values()))
        table.add_row(*(Text(printable(cell)) for cell in cells))
    return table


def save_sheet(reference: Image.Image, wish: str, hits: Sequence[ComposedHit], path: Path) -> None:
    """A PNG: the reference with the wish, then the hits with scores, descriptions and tags."""
    down = math.ceil((1 + len(hits)) / COLUMNS)
    figure = Figure(figsize=(2.1 * COLUMNS, 3.1 * down), layout="constrained")
    axes = figure.subplots(down, COLUMNS, squeeze=False).ravel()
    for ax in axes:
        ax.axis("off")
    _draw(axes[0], reference, ["reference", *_wrapped(f"wish: {wish}", 6)], "#c1666b")
    for ax, hit in zip(axes[1:], hits, strict=False):
        tags = _wrapped(", ".join(hit.tags.values()), LINES)
        lines = [f"{hit.rank}.  {hit.score:.3f}", *_wrapped(hit.caption or hit.product_id, LINES), *tags]
        _draw(ax, None if hit.image is None else load_image(hit.image), lines, "0.2")
    with atomic_path(path) as temporary, warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph")  # a description may hold characters that the font lacks
        figure.savefig(temporary, dpi=120, facecolor="white")


def _draw(ax: Axes, image: Image.Image | None, lines: list[str], colour: str) -> None:
    shown = Image.new("RGB", (256, 256), "#eeeeee") if image is None else ImageOps.pad(image, (256, 256), color="white")
    ax.imshow(np.asarray(shown))
    ax.set_title("\n".join(map(printable, lines)), y=-0.04, va="top", fontsize=8, color=colour, parse_math=False)


def _wrapped(text: str, lines: int) -> list[str]:
    return textwrap.wrap(escaped(text), WIDTH, max_lines=lines, placeholder="...")

"""A picture of what each entity's selection tokens chose: one row a product, one column an entity."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from adapters.encoder import Encoder
from e2.data import Product, load_image
from e2.errors import InputError
from e2.files import atomic_path

CELL = 224  # pixels of a photo in the picture
UNCHOSEN = 0.28  # brightness left to patches that no token chose
COLOURS = ("#ffb000", "#00c2d1", "#ff4f79", "#7ee081")  # of the frames, first fusion block first


def draw_selections(encoder: Encoder, products: Sequence[Product], path: Path) -> None:
    """Draws the selections of an E2 encoder on each product's first photo and writes a PNG.

    Chosen patches stand out at full brightness, framed in the colour of the fusion block that chose them; a dashed box is
    the true place where the catalogue knows it.

    Raises:
        InputError: the encoder has no selection tokens, or there is no product.
    """
    if not encoder.tags or not products:
        raise InputError("a picture of selections needs an encoder with tags (method e2) and at least one product")
    photos = [load_image(product.images[0]) for product in products]
    chosen = encoder.selections(photos)  # entity -> {layer: (B, k, rows, columns)}
    figure = Figure(figsize=(2.3 * (1 + len(chosen)), 2.55 * len(products)), dpi=100)
    axes = figure.subplots(len(products), 1 + len(chosen), squeeze=False)
    for row, (product, photo) in enumerate(zip(products, photos, strict=True)):
        square = photo.resize((CELL, CELL), Image.Resampling.BICUBIC)
        _show(axes[row, 0], np.asarray(square), "photo" if row == 0 else "")
        for column, (entity, layers) in enumerate(chosen.items(), start=1):
            weights = {layer: w[row].sum(axis=0) for layer, w in layers.items()}
            title = f"{entity.replace('_', ' ')}: {product.tags.get(entity, 'none')}"
            _show(axes[row, column], lit(square, weights), title)
            _frames(axes[row, column], weights)
            _box(axes[row, column], product.regions.get(entity))
    figure.tight_layout()
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png")


def lit(photo: Image.Image, weights: dict[int, np.ndarray]) -> np.ndarray:
    """The photo with every patch dimmed but those that some token chose; (CELL, CELL, 3) uint8."""
    total = sum(weights.values())
    mask = Image.fromarray((255 * (total / total.max()).clip(0, 1)).astype(np.uint8)).resize(
        photo.size, Image.Resampling.NEAREST
    )
    light = UNCHOSEN + (1 - UNCHOSEN) * np.asarray(mask, dtype=np.float32)[..., None] / 255
    return (np.asarray(photo) * light).astype(np.uint8)


def _show(axis: matplotlib.axes.Axes, pixels: np.ndarray, title: str) -> None:
    axis.imshow(pixels, extent=(0, 1, 1, 0))
    axis.set_title(title if len(title) <= 34 else title[:33] + "…", fontsize=8, parse_math=False)
    axis.set_axis_off()


def _frames(axis: matplotlib.axes.Axes, weights: dict[int, np.ndarray]) -> None:
    """Frames the patches with more than an even share of a block's weight."""
    for colour, grid in zip(COLOURS, weights.values(), strict=False):
        rows, columns = grid.shape
        for y, x in zip(*np.nonzero(grid > max(grid.sum() / grid.size * 4, 0.25)), strict=True):
            corner = (x / columns, y / rows)
            axis.add_patch(matplotlib.patches.Rectangle(corner, 1 / columns, 1 / rows, fill=False, ec=colour, lw=1.6))


def _box(axis: matplotlib.axes.Axes, box: tuple[float, float, float, float] | None) -> None:
    if box is not None:
        x0, y0, x1, y1 = box
        frame = matplotlib.patches.Rectangle((x0, y0), x1 - x0, y1 - y0, fill=False, ec="white", lw=1, ls="--")
        axis.add_patch(frame)

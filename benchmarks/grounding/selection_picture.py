"""Draws the patches that each entity's selection tokens chose: one row per product, one column per entity.

With a plain encoder, each product gets a second row: its attention overall and for each tag's text.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from e2.adapters.encoder import Encoder
from e2.benchmarks.grounding.maps import read_maps, tag_texts
from e2.benchmarks.grounding.view import EncoderView, view_for
from e2.data import Product, load_image
from e2.errors import InputError
from e2.files import atomic_path

CELL = 224  # pixels of a photo in the picture
TITLE = 22  # letters of a title's line that fit above a photo
UNCHOSEN = 0.28  # brightness of patches that no token chose
COLOURS = ("#ffb000", "#00c2d1", "#ff4f79", "#7ee081")  # colours of the frames, first fusion block first
WHOLE, FOR_TEXT = "attention", "grad-cam"  # the plain encoder's maps


def draw_selections(
    encoder: Encoder, products: Sequence[Product], path: Path, *, plain: Encoder | None = None, name: str = "CLIP"
) -> None:
    """Draws an E2 encoder's selections on each product's first photo; the file's ending sets the format.

    Brighter patches have more weight; those with more than a quarter of a fusion block's weight are framed in the block's
    colour. A dashed box is the true location, if known.

    Args:
        encoder: has selection tokens.
        products: one or more.
        path: ends in .png, .svg or .pdf.
        plain: another encoder, whose class-token attention and Grad-CAM for each tag are drawn below the selections.
        name: of the plain encoder.

    Raises:
        InputError: the encoder has no selection tokens, or there is no product.
    """
    if not encoder.tags or not products:
        raise InputError("a picture of selections needs an encoder with tags (method e2) and at least one product")
    photos = [load_image(product.images[0]) for product in products]
    rows = 1 + (plain is not None)
    figure = Figure(figsize=(2.3 * (1 + len(encoder.tags)), 2.8 * rows * len(products)), dpi=100)
    axes = figure.subplots(rows * len(products), 1 + len(encoder.tags), squeeze=False)
    _draw_tokens(axes[::rows], encoder, products, photos)
    if plain is not None:
        _draw_maps(axes[1::rows], plain, products, photos, encoder.tags, name)
    figure.tight_layout()
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format=path.suffix[1:])


def lit(photo: Image.Image, weights: Mapping[int, np.ndarray]) -> np.ndarray:
    """Dims all patches of the photo that no token chose; (height, width, 3) uint8."""
    total = np.sum(list(weights.values()), axis=0)
    shares = Image.fromarray((255 * (total / total.max()).clip(0, 1)).astype(np.uint8))
    mask = shares.resize(photo.size, Image.Resampling.NEAREST)
    light = UNCHOSEN + (1 - UNCHOSEN) * np.asarray(mask, dtype=np.float32)[..., None] / 255
    return (np.asarray(photo) * light).astype(np.uint8)


def _draw_tokens(axes: np.ndarray, encoder: Encoder, products: Sequence[Product], photos: Sequence[Image.Image]) -> None:
    """Draws one row of axes per product."""
    chosen = encoder.selections(photos)  # entity -> {layer: (B, k, rows, columns)}
    for row, (product, photo) in enumerate(zip(products, photos, strict=True)):
        view = view_for(encoder.preprocessing, photo.size)
        seen = view.picture(photo, CELL)
        _show(axes[row, 0], np.asarray(seen), "photo" if row == 0 else "")
        for axis, (entity, layers) in zip(axes[row, 1:], chosen.items(), strict=True):
            weights = {layer: own[row].sum(axis=0) for layer, own in layers.items()}
            _show(axis, lit(seen, weights), f"{entity.replace('_', ' ')}\n{', '.join(product.values.get(entity, ('none',)))}")
            _frames(axis, weights)
            _box(axis, view, product, entity)


def _draw_maps(
    axes: np.ndarray,
    encoder: Encoder,
    products: Sequence[Product],
    photos: Sequence[Image.Image],
    entities: Sequence[str],
    name: str,
) -> None:
    maps = read_maps(encoder, photos, tag_texts(encoder, [product.tags for product in products], entities))
    for row, (product, photo) in enumerate(zip(products, photos, strict=True)):
        view = view_for(encoder.preprocessing, photo.size)
        seen = view.picture(photo, CELL)
        _show(axes[row, 0], lit(seen, {0: maps[WHOLE][entities[0]][row]}), f"{name}\n{WHOLE}")
        for axis, entity in zip(axes[row, 1:], entities, strict=True):
            known = entity in product.tags
            pixels = lit(seen, {0: maps[FOR_TEXT][entity][row]}) if known else np.asarray(seen)
            _show(axis, pixels, f"{name}\n{FOR_TEXT}" if known else "no tag")
            _box(axis, view, product, entity)


def _show(axis: Axes, pixels: np.ndarray, title: str) -> None:
    axis.imshow(pixels, extent=(0, 1, 1, 0), aspect=pixels.shape[0] / pixels.shape[1])
    lines = (line if len(line) <= TITLE else line[: TITLE - 1] + "…" for line in title.split("\n", 1))
    axis.set_title("\n".join(lines), fontsize=12, parse_math=False)  # readable where a page shows the picture in half its size
    axis.set_axis_off()


def _frames(axis: Axes, weights: Mapping[int, np.ndarray]) -> None:
    """Frames patches with more than a quarter of a block's weight and four times an even share."""
    for colour, grid in zip(COLOURS, weights.values(), strict=False):
        rows, columns = grid.shape
        for y, x in zip(*np.nonzero(grid > max(grid.sum() / grid.size * 4, 0.25)), strict=True):
            corner = (x / columns, y / rows)
            axis.add_patch(matplotlib.patches.Rectangle(corner, 1 / columns, 1 / rows, fill=False, ec=colour, lw=1.6))


def _box(axis: Axes, view: EncoderView, product: Product, entity: str) -> None:
    box = view.box(product.regions[entity]) if entity in product.regions else None
    if box is not None:
        x0, y0, x1, y1 = box
        frame = matplotlib.patches.Rectangle((x0, y0), x1 - x0, y1 - y0, fill=False, ec="white", lw=1, ls="--")
        axis.add_patch(frame)

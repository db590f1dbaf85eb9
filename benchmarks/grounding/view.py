"""Maps photos and boxes to what an encoder sees: its transform squashes, crops or pads."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from e2.data.product import Box

PADDING = "white"  # padding in pictures for people; the encoder's own may be black


@dataclass(frozen=True)
class EncoderView:
    """Photo coordinates -> view coordinates, both 0..1: ``x * scale + shift``, across and down.

    The view is the encoder's input, covered by its patch grid. Scales exceed 1 if it crops and are below 1 if it pads.
    """

    scale: tuple[float, float]
    shift: tuple[float, float]
    size: tuple[int, int]  # width and height of the encoder's input in pixels

    def box(self, box: Box) -> Box | None:
        """Transforms a photo's box to the view, clipped at its edges; None if it is out of view."""
        corners = np.array(box, dtype=np.float64).reshape(2, 2) * self.scale + self.shift
        (x0, y0), (x1, y1) = corners.clip(0, 1)
        return (x0, y0, x1, y1) if x1 > x0 and y1 > y0 else None

    def picture(self, photo: Image.Image, side: int) -> Image.Image:
        """Renders the view in as much detail as the photo has; ``side`` is its longer side in pixels."""
        width, height = (round(side * edge / max(self.size)) for edge in self.size)
        whole = photo.convert("RGB").resize((max(1, round(width * self.scale[0])), max(1, round(height * self.scale[1]))))
        picture = Image.new("RGB", (width, height), PADDING)
        picture.paste(whole, (round(width * self.shift[0]), round(height * self.shift[1])))
        return picture


def view_for(config: Mapping[str, Any], size: tuple[int, int]) -> EncoderView:
    """Follows open_clip's evaluation ``image_transform`` (``size``, ``resize_mode``) on photos of that (width, height)."""
    height, width = config["size"] if isinstance(config["size"], (tuple, list)) else (config["size"],) * 2
    filling = np.array([width / size[0], height / size[1]])  # factors by which the photo would fill the input exactly
    factors = {"squash": filling, "longest": np.full(2, filling.min()), "shortest": np.full(2, filling.max())}
    scale = factors[config["resize_mode"]] / filling
    (x, y), (left, top) = scale.tolist(), ((1 - scale) / 2).tolist()
    return EncoderView((x, y), (left, top), (width, height))

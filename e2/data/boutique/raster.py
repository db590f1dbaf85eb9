"""The one seam to the drawing library: SVG text in, pixels out (resvg, vector to raster, no system library)."""

import io

import numpy as np
import resvg_py
from PIL import Image

TILE = 64  # side of a repeating texture tile, in studio units
TEXELS = 4  # texture samples per unit


def render(svg: str) -> np.ndarray:
    """Pixels of an SVG document, (height, width, 4) uint8, straight alpha."""
    png = resvg_py.svg_to_bytes(svg_string=svg, skip_system_fonts=True)
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGBA"))

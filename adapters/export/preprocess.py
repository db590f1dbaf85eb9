"""Preprocesses photos as the model in this folder was trained. Needs only NumPy and Pillow.

from preprocess import pixels

pixels("photo.jpg")  # float32 (1, 3, height, width)
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from e2.data.rgb import known_formats, trimmed, upright_rgb

RULE = Path(__file__).parent / "preprocess.json"


def pixels(photo: Any, rule: dict[str, Any] | None = None) -> np.ndarray:
    """Computes the model's input, float32 (1, 3, H, W).

    Args:
        photo: a file's path, a file open for reading bytes, or a Pillow picture of any mode.
        rule: size, mean, std, interpolation, resize_mode and fill_color; None: those in ``preprocess.json``.

    Raises:
        ValueError: too large, too thin, or NaN values.
        OSError: not an image, or damaged.
    """
    rule = rule or json.loads(RULE.read_text())
    image = photo if isinstance(photo, Image.Image) else Image.open(photo, formats=known_formats())
    levels = np.asarray(resized(upright_rgb(image), rule), np.float32) / np.float32(255)
    mean, std = (np.array(rule[name], np.float32) for name in ("mean", "std"))
    return ((levels - mean) / std).transpose(2, 0, 1)[None]


def resized(photo: Image.Image, rule: dict[str, Any]) -> Image.Image:
    """Resizes the photo to the model's size: squashed, or scaled by one side and then cropped or padded about its middle."""
    height, width = rule["size"]
    filter = Image.Resampling.BILINEAR if rule["interpolation"] == "bilinear" else Image.Resampling.BICUBIC
    if rule["resize_mode"] == "squash":
        return photo.resize((width, height), filter)
    photo = trimmed(photo)
    if rule["resize_mode"] == "shortest" and height == width:
        size = [int(height * side / min(photo.size)) for side in photo.size]
    elif rule["resize_mode"] == "shortest":
        size = [round(side / min(photo.height / height, photo.width / width)) for side in photo.size]
        filter = Image.Resampling.BICUBIC  # as open_clip does for non-square inputs
    else:
        size = [round(side / max(photo.height / height, photo.width / width)) for side in photo.size]
    photo = photo.resize((size[0], size[1]), filter)
    canvas = Image.new("RGB", (width, height), (rule.get("fill_color", 0),) * 3)
    canvas.paste(photo, (_offset(width - photo.width), _offset(height - photo.height)))
    return canvas


def _offset(room: int) -> int:
    """Offset that centres a side; ``room`` is negative if it is cropped."""
    return room // 2 if room > 0 else -round(-room / 2)

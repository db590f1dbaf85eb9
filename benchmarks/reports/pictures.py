"""Embeds photos in a page, as small WebP data URIs."""

import base64
import io

from PIL import Image

QUALITY = 80


def data_uri(photo: Image.Image, side: int) -> str:
    """The photo, at most ``side`` pixels wide and high, never enlarged."""
    file = io.BytesIO()
    shrunk(photo, side).save(file, "WEBP", quality=QUALITY, method=4)
    return "data:image/webp;base64," + base64.b64encode(file.getvalue()).decode()


def shrunk(photo: Image.Image, side: int) -> Image.Image:
    """In RGB, at most ``side`` pixels wide and high, never enlarged."""
    small = photo.convert("RGB")
    small.thumbnail((side, side), Image.Resampling.LANCZOS)
    return small

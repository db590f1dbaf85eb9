"""Turns any opened picture into an upright 8-bit RGB photo; needs only NumPy and Pillow.

Exports carry a copy of this file (`e2.adapters.export.photo_files`), so that programs without E2 see the same pixels.
"""

import contextlib
import functools
import importlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from PIL import Image, ImageOps

# An allow-list: photos are untrusted, and Pillow would hand an EPS to Ghostscript.
FORMATS = ("JPEG", "MPO", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "JPEG2000", "HEIF")
HEIF_PLUGINS = ("pillow_heif", "pi_heif")  # either package adds the format to Pillow
MAX_PIXELS = 89_478_485  # Pillow's own limit, which it merely warns about
MAX_RATIO = 2000  # ratio of the sides; a thinner picture shows nothing
SEEN_RATIO = 20  # longer pictures are cropped to this ratio before their shorter side is enlarged, which bounds the result
ORIENTATION = 0x0112  # EXIF's tag
SIXTEEN_BIT = ("I;16", "I;16L", "I;16B", "I;16N")
UNBOUNDED = ("I", "F")  # grey modes whose values have no set range
BITS, PHOTOMETRIC, SAMPLE_FORMAT = 258, 262, 339  # TIFF's tags
WHITE_IS_ZERO, SIGNED = 0, 2  # values of the latter two


class UnusablePhoto(ValueError):
    """An unusable picture; the message says why in a few words."""


@functools.cache
def known_formats() -> tuple[str, ...]:
    """Formats of the allow-list that this Pillow and its plugins read."""
    Image.init()
    for plugin in HEIF_PLUGINS:
        with contextlib.suppress(ImportError):
            importlib.import_module(plugin).register_heif_opener()
            break
    return tuple(name for name in FORMATS if name in Image.OPEN)  # AVIF needs a recent Pillow


def check_size(image: Image.Image) -> None:
    """Refuses pictures of too many pixels or too thin, before decoding."""
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise UnusablePhoto(f"{width} x {height} pixels are too many (decompression bomb)")
    if max(width, height) > MAX_RATIO * min(width, height):
        raise UnusablePhoto(f"{width} x {height} pixels are too thin, its sides differ more than {MAX_RATIO:,} fold")


def upright_rgb(image: Image.Image) -> Image.Image:
    """Converts any Pillow picture to RGB, turned upright by its EXIF orientation.

    Transparency is composited on white, as in shops; grey of more than 8 bits is scaled to 8; palettes and CMYK are converted.
    Upright RGB is returned as it is.

    Raises:
        UnusablePhoto: too large, too thin, or NaN values.
        Exception: whatever Pillow's decoders raise on damaged data.
    """
    check_size(image)
    image.load()
    tags = dict(getattr(image, "tag_v2", None) or {})  # before the picture is turned, which loses them
    image = _upright(image)
    if image.mode in SIXTEEN_BIT or image.mode in UNBOUNDED:
        return Image.fromarray(_eight_bit(image, tags)).convert("RGB")
    if image.has_transparency_data:
        image = image.convert("LA" if image.mode == "La" else image.mode).convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image if image.mode == "RGB" else image.convert("RGB")


def trimmed(photo: Image.Image) -> Image.Image:
    """Crops a very long photo to its middle, 20 times as long as wide."""
    width, height = (min(side, SEEN_RATIO * min(photo.size)) for side in photo.size)
    left, top = (photo.width - width) // 2, (photo.height - height) // 2
    return photo if (width, height) == photo.size else photo.crop((left, top, left + width, top + height))


def stands_upright(image: Image.Image) -> bool:
    """Tells whether a picture's EXIF data leave it as it is; those that cannot be read do."""
    try:
        return image.getexif().get(ORIENTATION, 1) == 1
    except Exception:  # it raises nearly anything
        return True


def _upright(image: Image.Image) -> Image.Image:
    try:
        return image if stands_upright(image) else ImageOps.exif_transpose(image)
    except Exception:  # a damaged EXIF block, which raises nearly anything, spoils no pixels: leave the photo unrotated
        return image


def _eight_bit(image: Image.Image, tags: Mapping[int, Any]) -> np.ndarray:
    """Converts (H, W) grey of more than 8 bits, or of a range that only the values tell, to bytes."""
    raw = np.asarray(image)
    bits, signed = _first(tags, BITS, 16), _first(tags, SAMPLE_FORMAT, 1) == SIGNED
    whole = 2.0 ** (bits - signed - 8)  # what one step of 8 bits is
    if image.mode in SIXTEEN_BIT:
        values = raw.astype(np.int16 if signed else np.uint16).astype(np.float64) / whole
    else:
        values = raw.astype(np.uint32 if bits == 32 and image.mode == "I" and not signed else raw.dtype).astype(np.float64)
        if not np.isfinite(values).all():
            raise UnusablePhoto("it holds values that are not numbers")
        values = _scaled(values, whole, wide=bits == 32, one=image.mode == "F")
    if _first(tags, PHOTOMETRIC, 1) == WHITE_IS_ZERO:
        values = 255 - values
    if "transparency" in image.info:  # PNG: the one grey value that means transparent
        values[raw == image.info["transparency"]] = 255
    return np.clip(values, 0, 255).astype(np.uint8)


def _scaled(values: np.ndarray, whole: float, *, wide: bool, one: bool) -> np.ndarray:
    """Scales values to 0..255 by the highest of them: 1 (if ``one`` may be white), 8 bits, 16 bits, or all that they have."""
    highest = values.max()
    if one and highest <= 1:
        return np.rint(255 * values)
    if highest <= 255:
        return values
    return values / (256 if one or (wide and highest < 1 << 16) else whole)


def _first(tags: Mapping[int, Any], tag: int, default: int) -> int:
    """First value of a TIFF's tag, of which there may be one for each channel."""
    found = tags.get(tag, default)
    return found[0] if isinstance(found, tuple) else found

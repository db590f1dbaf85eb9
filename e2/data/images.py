"""Any image file that a catalogue may hold -> an upright 8-bit RGB picture, or one clear reason why not.

Photos come from strangers: the formats are an allow-list (Pillow would hand an EPS to Ghostscript), pixel counts are
bounded before anything is decoded, and whatever a decoder raises on damaged bytes becomes `BadImage`.
"""

import contextlib
import functools
import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from e2.data.columns import printable
from e2.errors import InputError

FORMATS = ("JPEG", "MPO", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "JPEG2000")
SIXTEEN_BIT = ("I", "I;16", "I;16L", "I;16B", "I;16N")  # Pillow's grey modes of more than 8 bits
MAX_PIXELS = 89_478_485  # Pillow's own limit, which it merely warns about


class BadImage(InputError):
    """An image that cannot be used. ``cause`` says why in a few words, without naming the file."""

    def __init__(self, where: str, cause: str):
        super().__init__(f"{where}: {cause}; replace the image, or leave the product out by --on-bad-row skip")
        self.where, self.cause = where, cause

    def __reduce__(self):  # exceptions rebuild from their message only, which would lose the cause between workers
        return type(self), (self.where, self.cause)


class MissingImage(BadImage):
    """The path of an image leads to no regular file."""


class UnreadableImage(BadImage):
    """The disk or the network would not give the image now; that may pass, so the verdict is not to be remembered."""


def load_image(source: bytes | Path, enough: int | None = None) -> Image.Image:
    """Decodes the first frame of an image file to RGB, turned upright by its EXIF orientation.

    Transparent pixels are laid on white (as shops show them), 16-bit grey is scaled to 8 bits, and palettes and CMYK
    are converted.

    Args:
        source: an encoded image, or where it lies.
        enough: pixels a side that the caller will make of it. A JPEG of four times as many or more is then decoded at a
            half, a quarter or an eighth of its size, never below twice ``enough``: several times faster, and after the
            caller's own resizing hardly to be told apart. None: all pixels.

    Raises:
        BadImage: no such file, not an image, damaged, truncated, larger than Pillow's decompression-bomb limit.
    """
    with _opened(source) as image:
        if enough and image.format in ("JPEG", "MPO"):
            image.draft(None, (2 * enough, 2 * enough))
        image.load()
        return _to_rgb(_upright(image))


def check_image(source: bytes | Path) -> None:
    """Raises what `load_image` would, at a fraction of the cost for JPEG.

    Draft mode reads every coded byte, so that it notices a cut file, but computes an eighth of the pixels each way.
    """
    with _opened(source) as image:
        if image.format in ("JPEG", "MPO"):
            image.draft(None, (max(1, image.width // 8), max(1, image.height // 8)))
            image.load()
        else:
            image.load()
            _to_rgb(image)


@contextlib.contextmanager
def _opened(source: bytes | Path) -> Iterator[Image.Image]:
    where = f"image of {len(source):,} bytes" if isinstance(source, bytes) else printable(str(source))
    try:
        if not isinstance(source, bytes):
            if not Path(source).is_file():  # also keeps a hostile table from having us read /dev/zero
                raise MissingImage(where, "there is no such file")
            source = _read(Path(source))  # in one go; Pillow would seek over the file many times
        if not source:
            raise BadImage(where, "it is empty")
        with Image.open(io.BytesIO(source), formats=known_formats()) as image:
            if image.width * image.height > MAX_PIXELS:
                raise BadImage(where, f"{image.width} x {image.height} pixels are too many (decompression bomb)")
            yield image
    except BadImage:
        raise
    except Image.UnidentifiedImageError:
        raise BadImage(where, "it is not an image of a known format") from None
    except Exception as error:  # on damaged data Pillow's decoders raise nearly every built-in exception
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        raise BadImage(where, f"it cannot be decoded ({reason})") from error


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UnreadableImage(str(path), f"it cannot be read ({error.strerror})") from error


@functools.cache
def known_formats() -> tuple[str, ...]:
    Image.init()
    return tuple(name for name in FORMATS if name in Image.OPEN)  # AVIF needs a recent Pillow


def _upright(image: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # a damaged EXIF block (any exception, see above) spoils no pixels: take the photo as it lies
        return image


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode in SIXTEEN_BIT:
        grey = np.clip(np.asarray(image).astype(np.int64), 0, 65535) >> 8  # convert("RGB") would cut at 255
        return Image.fromarray(grey.astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image).convert("RGB")
    return image.convert("RGB")

"""Reads any image file of a catalogue as an upright 8-bit RGB picture, or gives one clear reason why not.

Photos are untrusted: the formats are an allow-list, pixel counts are bounded before anything is decoded, and whatever
a decoder raises on damaged bytes becomes `BadImage`.
"""

import contextlib
import io
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import PIL
from PIL import Image

from e2.data.columns import printable
from e2.data.file_kinds import kind_of
from e2.data.rgb import MAX_PIXELS, MAX_RATIO, UnusablePhoto, check_size, known_formats, upright_rgb
from e2.errors import InputError

if TYPE_CHECKING:  # tables do without PyTorch
    from torch import Tensor

ImageSource = Image.Image | Path | str | bytes
JPEG = ("JPEG", "MPO")
SCAN = b"\xff\xda"  # begins a scan of a JPEG
MOST_READS = 200_000  # of a file, in which Pillow reads each part of it: real ones take tens, a PNG of gigabytes thousands
MOST_SCANS = 500  # of a progressive JPEG: real ones have about ten, and each is a pass over all pixels for a few bytes


class BadImage(InputError):
    """An unusable image. ``cause`` says why in a few words, without naming the file."""

    def __init__(self, where: str, cause: str):
        super().__init__(f"{where}: {cause}; replace the image, or leave the product out by --on-bad-row skip")
        self.where, self.cause = where, cause

    def __reduce__(self):  # exceptions are rebuilt from their message only, which would lose the cause between processes
        return type(self), (self.where, self.cause)


class MissingImage(BadImage):
    """The path of an image leads to no regular file."""


class UnreadableImage(BadImage):
    """The disk or network failed to deliver the image; that may pass, so the verdict is not cached."""


def load_image(source: bytes | Path, enough: int | None = None) -> Image.Image:
    """Decodes the first frame of an image file to RGB, turned upright by its EXIF orientation.

    Transparency is composited on white (as in shops), grey of more than 8 bits is scaled to 8, and palettes and CMYK are
    converted.

    Args:
        source: an encoded image, or its path.
        enough: pixels per side that the caller will resize to. A JPEG of four times that or more is decoded at a half, a
            quarter or an eighth of its size, never below twice ``enough``: several times faster, and nearly the same after
            resizing. None: full size.

    Raises:
        BadImage: no such file, not an image, damaged, truncated, too large (decompression bombs), or too thin.
    """
    with _opened(source) as (image, _):
        _shrink(image, enough)
        return upright_rgb(image)


def load_pixels(source: bytes | Path, enough: int | None = None) -> "Image.Image | Tensor":
    """Same as `load_image`, but JPEGs that Pillow would decode in full size come from torchvision, as bytes (3, H, W).

    Raises:
        BadImage: it cannot be used.
    """
    with _opened(source) as (image, contents):
        return _pixels(image, contents, enough)


def load_for_device(source: bytes | Path, enough: int | None = None) -> "tuple[bytes, tuple[int, int]] | Image.Image | Tensor":
    """Reads a JPEG that a GPU may decode: its bytes, with its height and width; others are decoded as by `load_pixels`.

    Raises:
        BadImage: it cannot be used.
    """
    from e2.data.decoders import is_for_device

    with _opened(source) as (image, contents):
        if is_for_device(contents, image):
            return contents, (image.height, image.width)
        return _pixels(image, contents, enough)


def as_photo(source: ImageSource, enough: int | None = None) -> Image.Image:
    """Same as `load_image`, but also takes an opened or drawn picture of any mode.

    Raises:
        BadImage: it cannot be used.
    """
    if not isinstance(source, Image.Image):
        return load_image(source if isinstance(source, bytes) else Path(source), enough)
    with _told(getattr(source, "filename", "") or f"picture of {source.width} x {source.height} pixels"):
        return upright_rgb(source)


def check_image(source: bytes | Path) -> None:
    """Raises what `load_image` would, at a fraction of the cost for JPEG.

    Draft mode reads every coded byte, so it notices truncated files, but computes an eighth of the pixels each way.
    """
    with _opened(source) as (image, _):
        if image.format in JPEG:
            image.draft(None, (max(1, image.width // 8), max(1, image.height // 8)))
            image.load()
        else:
            upright_rgb(image)


def reading_rules() -> tuple[object, ...]:
    """Everything that the verdict on an image depends on, besides the image."""
    return PIL.__version__, known_formats(), MAX_PIXELS, MAX_RATIO, MOST_SCANS, MOST_READS


class InParts(io.BytesIO):
    """Bytes of an image file that are read in a bounded number of parts: millions of tiny ones take seconds and more."""

    reads = 0

    def read(self, size: int | None = -1, /) -> bytes:
        self.reads += 1
        if self.reads > MOST_READS:
            raise UnusablePhoto("it consists of too many tiny parts (decompression bomb)")
        return super().read(size)


@contextlib.contextmanager
def _opened(source: bytes | Path) -> Iterator[tuple[Image.Image, bytes]]:
    """Opens an image of an allowed format and size; gives it with the file's bytes."""
    where = f"image of {len(source):,} bytes" if isinstance(source, bytes) else printable(str(source))
    if not isinstance(source, bytes):
        if not _is_file(source):  # also keeps a hostile table from making us read /dev/zero
            raise MissingImage(where, "there is no such file")
        source = _read(Path(source))  # in one go; Pillow would seek over the file many times
    if not source:
        raise BadImage(where, "it is empty")
    with _told(where):
        try:
            image = Image.open(InParts(source), formats=known_formats())
        except Image.UnidentifiedImageError:
            raise UnusablePhoto(f"it is {kind_of(source, known_formats()) or 'not an image of a known format'}") from None
        with image:
            check_size(image)
            if image.format in JPEG and (scans := source.count(SCAN)) > MOST_SCANS:
                raise UnusablePhoto(f"{scans:,} scans are too many for a JPEG (decompression bomb)")
            yield image, source


def _pixels(image: Image.Image, contents: bytes, enough: int | None) -> "Image.Image | Tensor":
    from e2.data.decoders import decoded

    whole = image.size
    _shrink(image, enough)
    pixels = decoded(contents, image) if image.format in JPEG and image.size == whole else None
    return upright_rgb(image) if pixels is None else pixels


def _shrink(image: Image.Image, enough: int | None) -> None:
    """Lets an opened JPEG of four times ``enough`` pixels or more be decoded at a fraction of its size."""
    if enough and image.format in JPEG:
        image.draft(None, (2 * enough, 2 * enough))


@contextlib.contextmanager
def _told(where: str) -> Iterator[None]:
    """Turns whatever is raised within into a `BadImage` of that name: decoders raise nearly anything on damaged data."""
    try:
        yield
    except BadImage:
        raise
    except UnusablePhoto as error:
        raise BadImage(where, str(error)) from None
    except Exception as error:
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        raise BadImage(where, f"it cannot be decoded ({reason})") from error


def _is_file(path: Path) -> bool:
    try:
        return Path(path).is_file()
    except (OSError, ValueError):  # a name too long, or with a null byte
        return False


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UnreadableImage(str(path), f"it cannot be read ({error.strerror})") from error

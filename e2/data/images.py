"""Any image file that a catalogue may hold -> an upright 8-bit RGB picture, or one clear reason why not.

Photos come from strangers: the formats are an allow-list, pixel counts are bounded before anything is decoded, and whatever
a decoder raises on damaged bytes becomes `BadImage`.
"""

import contextlib
import io
from collections.abc import Iterator
from pathlib import Path

import PIL
from PIL import Image

from e2.data.columns import printable
from e2.data.file_kinds import kind_of
from e2.data.rgb import MAX_PIXELS, MAX_RATIO, UnusablePhoto, check_size, known_formats, upright_rgb
from e2.errors import InputError

ImageSource = Image.Image | Path | str | bytes


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

    Transparent pixels are laid on white (as shops show them), grey of more than 8 bits is scaled to 8, and palettes and
    CMYK are converted.

    Args:
        source: an encoded image, or where it lies.
        enough: pixels a side that the caller will make of it. A JPEG of four times as many or more is then decoded at a
            half, a quarter or an eighth of its size, never below twice ``enough``: several times faster, and after the
            caller's own resizing hardly to be told apart. None: all pixels.

    Raises:
        BadImage: no such file, not an image, damaged, truncated, too large (decompression bombs), or too thin.
    """
    with _opened(source) as image:
        if enough and image.format in ("JPEG", "MPO"):
            image.draft(None, (2 * enough, 2 * enough))
        return upright_rgb(image)


def as_photo(source: ImageSource, enough: int | None = None) -> Image.Image:
    """The same for a picture that was opened or drawn already, of any mode; `load_image` for all other sources.

    Raises:
        BadImage: it cannot be used.
    """
    if not isinstance(source, Image.Image):
        return load_image(source if isinstance(source, bytes) else Path(source), enough)
    with _told(getattr(source, "filename", "") or f"picture of {source.width} x {source.height} pixels"):
        return upright_rgb(source)


def check_image(source: bytes | Path) -> None:
    """Raises what `load_image` would, at a fraction of the cost for JPEG.

    Draft mode reads every coded byte, so that it notices a cut file, but computes an eighth of the pixels each way.
    """
    with _opened(source) as image:
        if image.format in ("JPEG", "MPO"):
            image.draft(None, (max(1, image.width // 8), max(1, image.height // 8)))
            image.load()
        else:
            upright_rgb(image)


def why_no_photo(source: bytes | Path) -> str | None:
    """Why an image cannot be used, in a few words without its name; None where it can."""
    try:
        check_image(source)
    except BadImage as error:
        return error.cause
    return None


def reading_rules() -> tuple[object, ...]:
    """What the verdict on an image depends on, besides the image."""
    return PIL.__version__, known_formats(), MAX_PIXELS, MAX_RATIO


@contextlib.contextmanager
def _opened(source: bytes | Path) -> Iterator[Image.Image]:
    where = f"image of {len(source):,} bytes" if isinstance(source, bytes) else printable(str(source))
    if not isinstance(source, bytes):
        if not _is_file(source):  # also keeps a hostile table from having us read /dev/zero
            raise MissingImage(where, "there is no such file")
        source = _read(Path(source))  # in one go; Pillow would seek over the file many times
    if not source:
        raise BadImage(where, "it is empty")
    with _told(where):
        try:
            image = Image.open(io.BytesIO(source), formats=known_formats())
        except Image.UnidentifiedImageError:
            raise UnusablePhoto(f"it is {kind_of(source, known_formats()) or 'not an image of a known format'}") from None
        with image:
            check_size(image)
            yield image


@contextlib.contextmanager
def _told(where: str) -> Iterator[None]:
    """Whatever is raised within becomes a `BadImage` of that name: on damaged data decoders raise nearly anything."""
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

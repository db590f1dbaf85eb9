"""Handles uploaded photos: checked before decoding, kept small, in memory only, the oldest dropped.

A photo has no name that could refer to a file: its id is the hash of its pixels.
"""

import hashlib
import io
import threading
from collections import OrderedDict
from dataclasses import dataclass
from functools import cached_property

from PIL import Image

from e2.adapters.search.photos import Box, cropped
from e2.data.images import BadImage, InParts, load_image
from e2.errors import InputError

MAX_BYTES = 16 * 2**20  # of an upload
MAX_PIXELS = {"JPEG": 50_000_000, "MPO": 50_000_000, "PNG": 16_000_000, "WEBP": 16_000_000}
SIDE = 768  # pixels of the longer side kept: more than any encoder here reads
QUALITY = 90
KEPT = 256  # uploaded photos: about 100 kB each, 25 MB in all


class TooLarge(InputError):
    """An upload of too many bytes or pixels."""


class WrongType(InputError):
    """An upload that is not a photo of an accepted kind."""


@dataclass(frozen=True)
class SentPhoto:
    """A photo ready for the models."""

    id: str  # ``upload:HASH`` or ``product:ID``
    jpeg: bytes  # the encoded picture

    @cached_property
    def digest(self) -> bytes:
        """Digest of the picture, by which models' results are cached; an id is not enough."""
        return hashlib.sha256(self.jpeg).digest()

    @cached_property
    def size(self) -> tuple[int, int]:
        """(width, height), from the header: decoded pictures would fill the memory."""
        with Image.open(io.BytesIO(self.jpeg), formats=["JPEG"]) as image:
            return image.size

    def part(self, box: Box) -> "SentPhoto":
        """Cuts a box out.

        Raises:
            InputError: it has too few pixels.
        """
        return SentPhoto(self.id, _encoded(cropped(load_image(self.jpeg), box)))


def read_upload(body: bytes) -> SentPhoto:
    """Reads an upload as a photo: upright, RGB, at most `SIDE` pixels per side, without its metadata (places, names).

    Raises:
        TooLarge: more than `MAX_BYTES`, or pixels than `MAX_PIXELS` (decompression bombs; read off the header).
        WrongType: neither JPEG, PNG nor WebP.
        InputError: it is damaged.
    """
    if len(body) > MAX_BYTES:
        raise TooLarge(too_many_bytes())
    _check_header(body)
    try:
        image = load_image(body, enough=SIDE)
        image.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    except BadImage as error:
        raise InputError(f"this photo cannot be used: {error.cause}") from error
    jpeg = _encoded(Image.frombytes("RGB", image.size, image.tobytes()))  # a new picture: no metadata
    return SentPhoto("upload:" + hashlib.sha256(jpeg).hexdigest()[:32], jpeg)


def _encoded(image: Image.Image) -> bytes:
    jpeg = io.BytesIO()
    image.save(jpeg, "JPEG", quality=QUALITY)
    return jpeg.getvalue()


def too_many_bytes() -> str:
    return f"this file is larger than {MAX_BYTES // 2**20} MB; send a smaller photo"


def _check_header(body: bytes) -> None:
    try:
        with Image.open(InParts(body), formats=[name for name in MAX_PIXELS if name != "MPO"]) as image:
            kind, pixels = str(image.format), image.width * image.height
    except Image.DecompressionBombError:
        raise TooLarge("this picture has too many pixels; send a smaller photo") from None
    except Exception:  # Pillow raises nearly anything on damaged headers
        raise WrongType("this is not a photo that can be read; send JPEG, PNG or WebP") from None
    if pixels > MAX_PIXELS[kind]:
        raise TooLarge(f"{pixels:,} pixels are too many for a {kind} (at most {MAX_PIXELS[kind]:,}); send a smaller photo")


class PhotoShelf:
    """Uploaded photos by id, at most ``kept`` of them, least recently used dropped first. Thread-safe."""

    def __init__(self, kept: int = KEPT):
        self.kept = kept
        self._photos: OrderedDict[str, SentPhoto] = OrderedDict()
        self._lock = threading.Lock()

    def put(self, photo: SentPhoto) -> None:
        with self._lock:
            self._photos[photo.id] = photo
            self._photos.move_to_end(photo.id)
            while len(self._photos) > self.kept:
                self._photos.popitem(last=False)

    def get(self, photo_id: str) -> SentPhoto | None:
        with self._lock:
            if photo_id in self._photos:
                self._photos.move_to_end(photo_id)
            return self._photos.get(photo_id)

"""Photos of a query: one, a box of it, several with weights, less of some; files and products of the index alike."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from e2.adapters.composed.base import References
from e2.adapters.encoder import Encoder
from e2.adapters.image_batches import ImageSource
from e2.adapters.search.index import ProductIndex
from e2.data.images import BadImage, load_image
from e2.errors import InputError, printable

Box = tuple[float, float, float, float]  # left, top, right, bottom, as shares of width and height
SMALLEST_BOX = 8  # pixels per side
OPPOSITE = 0.05  # shortest sum of weighted photos, next to the largest weight, that has a direction


@dataclass(frozen=True)
class Look:
    """Embeddings of a photo: its own (D,), and those of its entities (E, D) if known."""

    features: np.ndarray
    regions: np.ndarray | None = None


@dataclass(frozen=True)
class QueryPhoto:
    """A photo of a query; a negative weight asks for less of it."""

    look: Look
    weight: float = 1.0
    image: ImageSource | None = None
    product_id: str | None = None  # of the index
    part: bool = False  # a box of the photo


@dataclass(frozen=True)
class QueryPhotos:
    """Photos of a query as one."""

    look: Look
    image: ImageSource | None = None  # of the only photo
    liked: tuple[ImageSource, ...] = ()  # to start from
    unlike: tuple[ImageSource, ...] = ()  # to move away from
    products: tuple[str, ...] = ()  # those of the index, which are not hits
    whole: str | None = None  # the product of the index that is the only photo to start from, and no part of it

    def references(self, encoder: Encoder, **options) -> References:
        """Makes the reference of a composed query."""
        look, images = self.look, None if self.image is None else [self.image]
        return References(
            encoder, images, look.features[None], None if look.regions is None else look.regions[None], **options
        )


def joined(photos: Sequence[QueryPhoto]) -> QueryPhotos:
    """Adds up photos by their weights.

    Raises:
        InputError: none has a positive weight, or they cancel each other out.
    """
    if not any(photo.weight > 0 for photo in photos):
        raise InputError("there is no photo to start from, only some to move away from; give one")
    if len(photos) == 1:
        look, image = photos[0].look, photos[0].image
    else:
        weights, regions = [photo.weight for photo in photos], [photo.look.regions for photo in photos]
        known = [each for each in regions if each is not None]
        entities = _sum(known, weights) if len(known) == len(photos) else None
        look, image = Look(_sum([photo.look.features for photo in photos], weights), entities), None
    starts = [photo for photo in photos if photo.weight > 0]
    whole = starts[0].product_id if len(starts) == 1 and not starts[0].part else None
    liked, unlike = (
        tuple(photo.image for photo in photos if (photo.weight > 0) == more and photo.image is not None)
        for more in (True, False)
    )
    products = tuple(photo.product_id for photo in photos if photo.product_id is not None)
    return QueryPhotos(look, image, liked, unlike, products, whole)


def file_photos(
    encoder: Encoder, images: Sequence[str], minus: Sequence[str] = (), box: str | None = None
) -> list[QueryPhoto]:
    """Looks at photos in files.

    Args:
        encoder: the index's.
        images: ``FILE`` or ``FILE@WEIGHT``.
        minus: likewise, to move away from.
        box: of the only image, see `read_box`.

    Raises:
        InputError: an unreadable photo, a wrong weight, or a wrong box.
    """
    if box is not None and len(images) != 1:
        raise InputError("--box is drawn on one photo; give one --image")
    named = [*map(weighted, images), *((name, -weight) for name, weight in map(weighted, minus))]
    sources: list[ImageSource] = [_file(name, "--image" if weight > 0 else "--minus") for name, weight in named]
    if box is not None:
        sources[0] = cropped(load_image(Path(named[0][0])), read_box(box))
    if not named:
        return []
    if encoder.tags:
        features, regions = encoder.encode_images_and_regions(sources, progress=False)
        looks = [Look(*both) for both in zip(features, regions, strict=True)]
    else:
        looks = [Look(features) for features in encoder.encode_images(sources, progress=False)]
    return [QueryPhoto(look, weight, image) for look, (_, weight), image in zip(looks, named, sources, strict=True)]


def product_photos(index: ProductIndex, like: Sequence[str], unlike: Sequence[str] = ()) -> list[QueryPhoto]:
    """Takes products of an index as photos.

    Raises:
        InputError: there is no such product.
    """
    ids, weights = [*like, *unlike], [1.0] * len(like) + [-1.0] * len(unlike)
    return [
        QueryPhoto(Look(vector), weight, index.thumbnail(name), name)
        for name, weight, vector in zip(ids, weights, index.vectors(ids), strict=True)
    ]


def weighted(text: str) -> tuple[str, float]:
    """Parses ``PHOTO`` or ``PHOTO@WEIGHT``.

    Example:
        >>> weighted("shoe.jpg@0.5"), weighted("shoe.jpg")
        (('shoe.jpg', 0.5), ('shoe.jpg', 1.0))

    Raises:
        InputError: a weight that is not a positive number.
    """
    name, at, number = text.rpartition("@")
    if not at or os.path.isfile(text):  # unlike Path, False for a name that is too long
        return text, 1.0
    try:
        weight = float(number)
    except ValueError:
        return text, 1.0
    if not 0 < weight < float("inf"):
        raise InputError(f"{printable(text)}: a weight has to be above 0; photos to move away from go to --minus")
    return name, weight


def read_box(text: str) -> Box:
    """Parses ``LEFT,TOP,RIGHT,BOTTOM``, shares of width and height.

    Example:
        >>> read_box("0.1,0,0.5,1")
        (0.1, 0.0, 0.5, 1.0)

    Raises:
        InputError: no such box.
    """
    try:
        left, top, right, bottom = (float(part) for part in text.split(","))
    except ValueError:
        left = top = right = bottom = -1.0
    if not (0 <= left < right <= 1 and 0 <= top < bottom <= 1):
        raise InputError(f"box {printable(text)}: write LEFT,TOP,RIGHT,BOTTOM as shares of the photo, e.g. 0.2,0,0.8,0.5")
    return left, top, right, bottom


def cropped(image: Image.Image, box: Box) -> Image.Image:
    """Cuts a box out of a photo.

    Raises:
        InputError: it has too few pixels.
    """
    width, height = image.size
    left, top, right, bottom = (round(share * side) for share, side in zip(box, (width, height) * 2, strict=True))
    if min(right - left, bottom - top) < SMALLEST_BOX:
        raise InputError(
            f"the box has less than {SMALLEST_BOX} pixels per side of a photo of {width} x {height}; draw it larger"
        )
    return image.crop((left, top, right, bottom))


def _file(name: str, option: str) -> Path:
    """Checks that a file is a photo, so that the message names its option."""
    try:
        load_image(Path(name), enough=1)
    except BadImage as error:
        raise InputError(f"{option} {printable(name)}: {error.cause}; give another photo") from error
    return Path(name)


def _sum(vectors: Sequence[np.ndarray], weights: Sequence[float]) -> np.ndarray:
    """Adds up normalised vectors (..., D) by their weights, normalised."""
    total = np.tensordot(np.asarray(weights, np.float32), np.stack(vectors), axes=1)
    length = np.linalg.norm(total, axis=-1, keepdims=True)
    if float(length.min()) < OPPOSITE * max(map(abs, weights)):
        raise InputError("the photos cancel each other out; choose other photos or weights")
    return total / length

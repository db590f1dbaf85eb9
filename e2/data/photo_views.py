"""All photos of a catalogue in fixed views, which a frozen tower's cache may hold."""

from collections.abc import Callable
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from e2.activations import Photos
from e2.data.images import BadImage, ImageSource
from e2.data.lost import lost_photo
from e2.data.product import Catalogue, without_photos
from e2.data.seeds import drawing_from, mixed_seed
from e2.data.transforms import PhotoTransform


class PhotoCache(Protocol):
    """Photos that a frozen tower has seen (``e2.training.tower_cache``)."""

    def read(self, view: int, row: int) -> Photos:
        """One view of one photo, or of a blank picture in its place."""

    def found(self, view: int, row: int) -> bool:
        """Tells whether a photo could be read when the cache was written."""


class PhotoViews:
    """Photos counted through, product by product; each view of one is the same for all seeds and runs.

    Attributes:
        catalogue: the products.
        transform: makes a view; random numbers follow from view and photo.
        on_bad_row: ``error`` if no photo may be missing, else ``skip``.
        cache: holds the views as a frozen tower has seen them; None = decode them.
    """

    def __init__(self, catalogue: Catalogue, transform: PhotoTransform, on_bad_row: str = "error"):
        self.catalogue, self.transform, self.on_bad_row = catalogue, transform, on_bad_row
        self.cache: PhotoCache | None = None

    @cached_property
    def starts(self) -> np.ndarray:
        """(P + 1,) row of each product's first photo, and the number of photos."""
        return np.cumsum([0, *(len(product.images) for product in without_photos(self.catalogue))])

    def __len__(self) -> int:
        return int(self.starts[-1])

    def read(self, view: int, product: int, image: int, lost: list[str]) -> Photos | None:
        """One view of a product's photo as the model reads it; None, and a message in ``lost``, if it cannot be read."""
        row = int(self.starts[product]) + image
        if self.cache is None:
            return self._made(self.transform, view, row, lost)
        if self.cache.found(view, row):
            return self.cache.read(view, row)
        lost.append(f"product {self.catalogue[product].product_id!r}: photo {image + 1} could not be read")
        return None

    def blank(self, view: int, product: int, image: int) -> Photos:
        """A blank picture in place of a photo that cannot be read."""
        if self.cache is None:
            return self.transform.normalised(blank(self.transform))
        return self.cache.read(view, int(self.starts[product]) + image)

    def pixels(self, view: int, row: int, lost: list[str]) -> Tensor | None:
        """One view of a photo as bytes (3, H, W); None, and a message in ``lost``, if it cannot be read."""
        return self._made(self.transform.pixels, view, row, lost)

    def _made(self, make: Callable[[ImageSource], Tensor], view: int, row: int, lost: list[str]) -> Tensor | None:
        number = int(self.starts.searchsorted(row, side="right")) - 1
        product = self.catalogue[number]
        photo = product.images[row - int(self.starts[number])]
        with drawing_from(mixed_seed(view, row)):
            try:
                return make(photo)
            except BadImage as error:
                lost.append(lost_photo(product.product_id, error))
                return None

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | {"starts": self.starts}  # counted once, not by each of the loader's processes


def blank(transform: PhotoTransform) -> Tensor:
    """Bytes (3, H, W) of a white picture."""
    with torch.random.fork_rng(devices=[]):
        return transform.pixels(Image.new("RGB", (64, 64), "white"))

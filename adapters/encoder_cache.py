"""Reads a catalogue's photos from the cache of a frozen tower, so that runs that share it embed each photo once.

The cache holds half precision, so it serves encoders that compute in it: their vectors are those from pixels.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from torch import Tensor

from e2.activations import Photos, stack_photos
from e2.adapters.encoder import Encoder
from e2.adapters.image_batches import ImageSource
from e2.adapters.product_images import ProductImages
from e2.data.images import BadImage, load_image
from e2.data.lost import lost_photo
from e2.data.product import Catalogue, without_photos
from e2.data.transforms import PhotoTransform
from e2.training.fill_cache import CacheFiller
from e2.training.tower_cache import TowerCache, open_cache


class EveryPhoto:
    """All photos of a catalogue, product by product, each in one view."""

    on_bad_row = "error"

    def __init__(self, catalogue: Catalogue, transform: PhotoTransform):
        self.catalogue, self.transform = catalogue, transform
        counts = [len(product.images) for product in without_photos(catalogue)]
        self.starts = np.cumsum([0, *counts])  # (P + 1,) the first photo of each product

    def __len__(self) -> int:
        return int(self.starts[-1])

    def pixels(self, view: int, index: int, lost: list[str]) -> Tensor | None:
        """The photo as bytes (3, H, W); None, and a message in ``lost``, if it cannot be read."""
        row = int(self.starts.searchsorted(index, side="right")) - 1
        product = self.catalogue[row]
        try:
            return self.transform.pixels(load_image(product.images[index - int(self.starts[row])]))
        except BadImage as error:
            lost.append(lost_photo(product.product_id, error))
            return None


class CachedEncoder(Encoder):
    """An encoder that takes the photos of one catalogue from the cache, and any others as they are."""

    def __init__(self, encoder: Encoder, photos: EveryPhoto, cache: TowerCache):
        vars(self).update(vars(encoder))
        self.photos, self.cache = photos, cache

    def photo_batches(self, images: Sequence[ImageSource], rows: Sequence[Sequence[int]]) -> Iterator[Photos]:
        if not (isinstance(images, ProductImages) and images.catalogue is self.photos.catalogue):
            yield from super().photo_batches(images, rows)
            return
        places = self.photos.starts[images.products] + images.indices
        for batch in rows:
            yield stack_photos([self._cached(int(place)) for place in places[batch]])

    def _cached(self, place: int) -> Photos:
        photo = self.cache.read(0, place)
        assert photo is not None  # a cache of photos that cannot be read is not filled
        return photo


def from_cache(encoder: Encoder, catalogue: Catalogue, root: Path, trained_groups: int) -> Encoder:
    """Lets an E2 checkpoint's encoder read the photos of ``catalogue`` from the cache, which is filled first.

    Args:
        encoder: in half precision; of a tower whose last ``trained_groups`` groups alone were trained.
        catalogue: the photos.
        root: folder of the cache.
        trained_groups: as ``optim.image_layers``.

    Raises:
        InputError: a photo that cannot be read, or a cache that cannot be written.
    """
    model = encoder.model
    with encoder.frozen():
        model.lock_image_tower(trained_groups)
        front = model.front()
        if not front.blocks:
            return encoder
        assert isinstance(encoder.preprocess, PhotoTransform)  # a checkpoint's
        photos = EveryPhoto(catalogue, encoder.preprocess)
        cache = open_cache(root, model, front, photos, views=1, precision=encoder.precision)
        CacheFiller(cache, photos, model.eval(), front, encoder.workers, encoder.autocast).fill()
    return CachedEncoder(encoder, photos, cache)

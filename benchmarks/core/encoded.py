"""Remembers what an encoder computed, for measurements that need the same vectors more than once."""

from collections.abc import Sequence
from typing import cast

import numpy as np

from e2.adapters.encoder import Encoder, images_and_regions
from e2.adapters.image_batches import ImageSource
from e2.adapters.product_images import ProductImages
from e2.data.product import Catalogue


class EncodedOnce:
    """Encoder of one catalogue that encodes each text once, and the images as well, unless they are given."""

    def __init__(self, encoder: Encoder, images: np.ndarray | None = None):
        self.encoder, self.device = encoder, encoder.device
        self._images = images
        self._texts: dict[str, np.ndarray] = {}

    def encode_images(self, images: Sequence[ImageSource], progress: bool = True) -> np.ndarray:
        if self._images is None:
            self._images = self.encoder.encode_images(images, progress)
        return self._images

    def encode_texts(self, texts: Sequence[str], progress: bool = True) -> np.ndarray:
        if new := [text for text in dict.fromkeys(texts) if text not in self._texts]:
            self._texts |= zip(new, self.encoder.encode_texts(new, progress), strict=True)
        return np.stack([self._texts[text] for text in texts])


def encoded_once(encoder: Encoder, images: np.ndarray | None = None) -> Encoder:
    """Wraps an encoder for code that calls only the methods of `EncodedOnce`."""
    return cast(Encoder, EncodedOnce(encoder, images))


def first_photos(encoder: Encoder, catalogue: Catalogue) -> tuple[np.ndarray, np.ndarray | None]:
    """Encodes each product's first photo: images (P, D), and regions (P, E, D) if the encoder has tags."""
    photos = ProductImages.first(catalogue)
    return images_and_regions(encoder, photos)

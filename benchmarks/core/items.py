"""Lists the images and texts of a catalogue, each with its product."""

from dataclasses import dataclass

import numpy as np

from e2.adapters.encoder import Encoder
from e2.adapters.product_images import ProductImages
from e2.adapters.product_vector import ProductVector
from e2.data.product import Catalogue, require_text, without_photos
from e2.errors import InputError

CATEGORY = "sub_category"  # the entity whose values sampled protocols draw negatives within


@dataclass(frozen=True)
class Items:
    """Images and texts to retrieve or embed."""

    product_ids: list[str]  # P ids
    categories: list[str]  # P sub-categories; empty for a product without the tag
    images: ProductImages  # I images
    image_products: np.ndarray  # (I,) int64, row of each image's product
    texts: list[str]  # T texts
    text_products: np.ndarray  # (T,) int64, row of each text's product
    product_vector: ProductVector | None = None  # rule by which a product is one image; None: each image by itself

    def encode_images(self, encoder: Encoder) -> np.ndarray:
        """Vectors (I, D) of the images."""
        if self.product_vector is None:
            return encoder.encode_images(self.images)
        return self.product_vector.encode(encoder, self.images.catalogue)


def read_items(
    catalogue: Catalogue, text: str, *, first_only: bool = False, product_vector: ProductVector | None = None
) -> Items:
    """Reads a split's texts, ``caption`` or ``full``, in one pass, without images.

    Args:
        first_only: one image and one text per product.
        product_vector: rule by which all images of a product are one.

    Raises:
        InputError: an unknown kind of text, or fewer than two products.
    """
    require_text(text)
    if len(catalogue) < 2:
        raise InputError(f"{catalogue.name} split {catalogue.split} has {len(catalogue)} product; retrieval needs two or more")
    ids: list[str] = []
    categories: list[str] = []
    texts: list[str] = []
    image_of: list[tuple[int, int]] = []  # row of the product, number of the photo among its own
    text_of: list[int] = []
    for row, product in enumerate(without_photos(catalogue)):
        ids.append(product.product_id)
        categories.append(product.tags.get(CATEGORY, ""))
        images = range(1 if first_only or product_vector else len(product.images))
        captions = range(1 if first_only else len(product.captions))
        image_of += ((row, image) for image in images)
        text_of += (row for _ in captions)
        texts += (product.text(text, caption) for caption in captions)
    image_products, numbers = np.array(image_of, dtype=np.int64).T.copy()
    photos = ProductImages(catalogue, image_products, numbers)
    return Items(ids, categories, photos, image_products, texts, np.array(text_of, dtype=np.int64), product_vector)

"""Lists the images and texts of a catalogue, each with its product."""

from dataclasses import dataclass

import numpy as np

from e2.adapters.product_images import ProductImages
from e2.data.product import Catalogue, require_text, without_photos
from e2.errors import InputError

CATEGORY = "sub_category"  # the entity whose values sampled protocols draw negatives within


@dataclass(frozen=True)
class Items:
    """Images and texts to retrieve or embed.

    Attributes:
        product_ids: P ids.
        categories: P sub-categories; empty for a product without the tag.
        images: I images.
        image_products: (I,) int64, row of each image's product.
        texts: T texts.
        text_products: (T,) int64, row of each text's product.
        text_indices: (T,) int64, index among the product's captions.
    """

    product_ids: list[str]
    categories: list[str]
    images: ProductImages
    image_products: np.ndarray
    texts: list[str]
    text_products: np.ndarray
    text_indices: np.ndarray


def read_items(catalogue: Catalogue, text: str, *, first_only: bool = False) -> Items:
    """Reads the catalogue's texts in one pass, without images.

    Args:
        catalogue: one split.
        text: ``caption`` or ``full``.
        first_only: one image and one text per product, the first ones.

    Raises:
        InputError: an unknown kind of text, or fewer than two products.
    """
    require_text(text)
    if len(catalogue) < 2:
        raise InputError(f"{catalogue.name} split {catalogue.split} has {len(catalogue)} product; retrieval needs two or more")
    ids: list[str] = []
    categories: list[str] = []
    texts: list[str] = []
    image_counts: list[int] = []
    text_counts: list[int] = []
    for product in without_photos(catalogue):
        ids.append(product.product_id)
        categories.append(product.tags.get(CATEGORY, ""))
        image_counts.append(1 if first_only else len(product.images))
        text_counts.append(1 if first_only else len(product.captions))
        texts.extend(product.text(text, caption) for caption in range(text_counts[-1]))
    image_products, image_indices = _rows(image_counts)
    text_products, text_indices = _rows(text_counts)
    images = ProductImages(catalogue, image_products, image_indices)
    return Items(ids, categories, images, image_products, texts, text_products, text_indices)


def _rows(counts: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """Expands counts per product to the product of each item and its number within the product."""
    products = np.repeat(np.arange(len(counts)), counts)
    first = np.cumsum(counts) - counts
    return products, np.arange(len(products)) - first[products]

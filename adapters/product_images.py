"""Images of a catalogue's products as a sequence that an encoder reads lazily."""

from collections.abc import Sequence

import numpy as np
from PIL import Image

from e2.data.images import load_image
from e2.data.product import Catalogue, texts_only
from e2.errors import InputError


class ProductImages(Sequence[Image.Image]):
    """Images of a catalogue, decoded on demand (by an encoder's workers) and not kept.

    Args:
        catalogue: their catalogue.
        products: (I,) row of each image's product.
        indices: (I,) index among the product's images.
    """

    def __init__(self, catalogue: Catalogue, products: np.ndarray, indices: np.ndarray):
        self.catalogue, self.products, self.indices = catalogue, products, indices

    @classmethod
    def first(cls, catalogue: Catalogue, products: np.ndarray | None = None) -> "ProductImages":
        """Selects the first image of each product; ``products``: rows in order; None = all."""
        products = np.arange(len(catalogue)) if products is None else products
        return cls(catalogue, products, np.zeros_like(products))

    @property
    def names(self) -> list[str]:
        """Product id of each image, by which existing captions are looked up."""
        light = texts_only(self.catalogue)
        return [light[int(row)].product_id for row in self.products]

    def __len__(self) -> int:
        return len(self.products)

    def __getitem__(self, i: int) -> Image.Image:  # type: ignore[override]  # no slices
        product = self.catalogue[int(self.products[i])]
        try:
            return load_image(product.images[int(self.indices[i])])
        except InputError as error:
            raise InputError(f"product {product.product_id}: {error}") from error

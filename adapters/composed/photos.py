"""The first photo of each product of a catalogue, read when asked for."""

from collections.abc import Sequence

import numpy as np
from PIL import Image

from e2.data.images import load_image
from e2.data.product import Catalogue
from e2.errors import InputError


class FirstPhotos(Sequence):
    """One photo a product.

    Args:
        catalogue: where they are.
        rows: which products, in which order; None = all.
    """

    def __init__(self, catalogue: Catalogue, rows: np.ndarray | None = None):
        self.catalogue = catalogue
        self.rows = np.arange(len(catalogue)) if rows is None else rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, i: int) -> Image.Image:
        product = self.catalogue[int(self.rows[i])]
        try:
            return load_image(product.images[0])
        except InputError as error:
            raise InputError(f"product {product.product_id}: {error}") from error

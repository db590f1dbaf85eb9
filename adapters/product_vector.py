"""One vector for a product of several photos, for indexes, embeddings and evaluations."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from e2.adapters.encoder import Encoder
from e2.adapters.product_images import ProductImages
from e2.adapters.unit_vectors import normalised
from e2.data.product import Catalogue, Product, texts_only
from e2.errors import InputError, printable

PHOTOS, FIRST = "photos", "first"


@dataclass(frozen=True)
class ProductVector:
    """Rule by which a product's photos, and maybe its description, become one unit vector.

    It is the normalised mean of the photos' unit vectors; with a ``text`` share w, the normalised sum of (1 - w) of that and
    w of the first description's unit vector.

    Attributes:
        first: only the first photo.
        text: share of the description, 0 to below 1.
    """

    first: bool = False
    text: float = 0.0

    @classmethod
    def parse(cls, rule: str) -> "ProductVector":
        """Reads ``photos`` or ``first``, maybe with ``+text=SHARE``.

        Raises:
            InputError: another rule.

        Example:
            >>> ProductVector.parse("photos+text=0.1")
            ProductVector(first=False, text=0.1)
        """
        photos, plus, share = rule.partition("+text=")
        try:
            text = float(share) if plus else 0.0
        except ValueError:
            text = -1.0
        if photos not in (PHOTOS, FIRST) or not 0 <= text < 1 or (plus and not text):
            raise InputError(
                f"product vector {printable(repr(rule))}: write {PHOTOS} (the mean of all), {FIRST} (the first photo alone), "
                f"or either with a share of the description above 0 and below 1, e.g. {PHOTOS}+text=0.1"
            )
        return cls(photos == FIRST, text)

    def __str__(self) -> str:
        return (FIRST if self.first else PHOTOS) + (f"+text={self.text}" if self.text else "")

    def images(self, product: Product) -> Sequence[bytes | Path]:
        """Photos of a product that its vector is made of."""
        return product.images[:1] if self.first else product.images

    def of_one(self, photos: np.ndarray, text: np.ndarray | None = None) -> np.ndarray:
        """Joins the unit vectors of a product's photos (n, D) and, for a share of it, of its description (D,): (D,)."""
        used = photos[:1] if self.first else photos
        joined = normalised(used.mean(axis=0)) if len(used) > 1 else used[0]
        return joined if text is None else normalised((1 - self.text) * joined + self.text * text)

    def encode(
        self, encoder: Encoder, catalogue: Catalogue, rows: Sequence[int] | np.ndarray | None = None, progress: bool = True
    ) -> np.ndarray:
        """Encodes the products of some rows, (N, D); None: all.

        Raises:
            InputError: an unreadable photo.
        """
        rows = np.arange(len(catalogue)) if rows is None else np.asarray(rows)
        light = texts_only(catalogue)
        products = [light[int(row)] for row in rows]
        counts = [len(self.images(product)) for product in products]
        numbers = np.concatenate([np.arange(count) for count in counts])
        photos = encoder.encode_images(ProductImages(catalogue, np.repeat(rows, counts), numbers), progress)
        return self.joined(encoder, products, np.split(photos, np.cumsum(counts)[:-1]), progress)

    def joined(
        self, encoder: Encoder, products: Sequence[Product], photos: Sequence[np.ndarray], progress: bool = True
    ) -> np.ndarray:
        """Joins the unit vectors (n, D) of each product's photos, with the descriptions' if they have a share: (N, D)."""
        texts = encoder.encode_texts([product.captions[0] for product in products], progress) if self.text else None
        return np.stack([self.of_one(own, None if texts is None else texts[row]) for row, own in enumerate(photos)])


ALL_PHOTOS, FIRST_PHOTO = ProductVector(), ProductVector(first=True)

"""One vector for a product of several photos, for indexes, embeddings and evaluations."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from e2.adapters.encoder import Encoder
from e2.adapters.product_images import ProductImages
from e2.adapters.unit_vectors import normalised
from e2.data.product import Catalogue, Product, texts_only
from e2.errors import InputError, printable

PHOTOS, FIRST, VIEWS = "photos", "first", "+views"
RULE = re.compile(rf"({PHOTOS}|{FIRST})({re.escape(VIEWS)})?(?:\+text=(.+))?")
MARGIN = 0.05  # of a photo's sides, outside its middle


def middle(photo: Image.Image) -> Image.Image:
    """The middle 90 % of a photo, each way."""
    across, down = round(MARGIN * photo.width), round(MARGIN * photo.height)
    return photo.crop((across, down, photo.width - across, photo.height - down))


@dataclass(frozen=True)
class ViewedImages(Sequence[Image.Image]):
    """Photos as a function shows them."""

    images: ProductImages
    view: Callable[[Image.Image], Image.Image]

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, i: int) -> Image.Image:  # type: ignore[override]  # no slices
        return self.view(self.images[i])


@dataclass(frozen=True)
class ProductVector:
    """Rule by which a product's photos, and maybe its description, become one unit vector.

    It is the normalised mean of the photos' unit vectors; with a ``text`` share w, the normalised sum of (1 - w) of that and
    w of the first description's unit vector.

    Attributes:
        first: only the first photo.
        text: share of the description, 0 to below 1.
        views: a photo's vector is the normalised mean of three: of the photo, mirrored, and of its middle.
    """

    first: bool = False
    text: float = 0.0
    views: bool = False

    @classmethod
    def parse(cls, rule: str) -> "ProductVector":
        """Reads ``photos`` or ``first``, maybe with ``+views``, maybe with ``+text=SHARE``.

        Raises:
            InputError: another rule.

        Example:
            >>> ProductVector.parse("photos+text=0.1")
            ProductVector(first=False, text=0.1, views=False)
        """
        found = RULE.fullmatch(rule)
        photos, views, share = found.groups() if found else ("", None, None)
        try:
            text = float(share or 0)
        except ValueError:
            text = -1.0
        if not found or not 0 <= text < 1 or (share and not text):
            raise InputError(
                f"product vector {printable(repr(rule))}: write {PHOTOS} (the mean of all), {FIRST} (the first photo alone), "
                f"either with three views of each ({PHOTOS}{VIEWS}), and with a share of the description above 0 and below 1, "
                f"e.g. {PHOTOS}+text=0.1"
            )
        return cls(photos == FIRST, text, bool(views))

    def __str__(self) -> str:
        return (FIRST if self.first else PHOTOS) + VIEWS * self.views + (f"+text={self.text}" if self.text else "")

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
        photos = self.of_photos(encoder, ProductImages(catalogue, np.repeat(rows, counts), numbers), progress)
        return self.joined(encoder, products, np.split(photos, np.cumsum(counts)[:-1]), progress)

    def of_photos(
        self, encoder: Encoder, images: ProductImages, progress: bool = True, whole: np.ndarray | None = None
    ) -> np.ndarray:
        """Encodes photos by the rule's views: unit vectors (I, D); ``whole``: those of the photos as they are, if known."""
        if whole is None:
            whole = encoder.encode_images(images, progress)
        if not self.views:
            return whole
        further = [encoder.encode_images(ViewedImages(images, view), progress) for view in (ImageOps.mirror, middle)]
        return normalised(sum(further, whole))

    def joined(
        self, encoder: Encoder, products: Sequence[Product], photos: Sequence[np.ndarray], progress: bool = True
    ) -> np.ndarray:
        """Joins each product's vectors (n, D) of `of_photos`, and its description's if it has one, for their share: (N, D)."""
        captions = [product.captions[0] for product in products]
        texts = encoder.encode_texts(captions, progress) if self.text else [None] * len(captions)
        described = zip(photos, texts, captions, strict=True)
        return np.stack([self.of_one(own, text if caption else None) for own, text, caption in described])


ALL_PHOTOS, FIRST_PHOTO = ProductVector(), ProductVector(first=True)

"""Products of a catalogue for queries from tags.

Products that lack a kept tag are left out and counted: whether they meet any wish is unknown. One that lacks another tag takes
part in the queries about those that it has.
"""

from collections.abc import Sequence

import numpy as np

from e2.adapters.encoder import Encoder
from e2.adapters.product_images import ProductImages
from e2.adapters.product_vector import ALL_PHOTOS, ProductVector
from e2.benchmarks.composed.data.garment import kept_tags
from e2.benchmarks.composed.data.tag_pairs import TagTable
from e2.counting import counted
from e2.data.product import Catalogue, require_text, without_photos
from e2.errors import InputError


class TaggedProducts:
    """Products of a split that have the kept tags, read in one pass over its texts.

    Args:
        catalogue: one split, with its tags.
        text: ``caption`` or ``full``.
        keep: tags of the catalogue that stay unless a wish changes them; None: the kind of garment.
        product_vector: rule of the products' vectors.

    Raises:
        InputError: no tags, none for the kind of garment, unknown text, or fewer than two products with the kept tags.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        text: str = "caption",
        keep: Sequence[str] | None = None,
        product_vector: ProductVector = ALL_PHOTOS,
    ):
        self.keep = kept_tags(keep, catalogue.tags, name=catalogue.name)
        if unread := [name for name in self.keep if name not in catalogue.tags]:
            raise InputError(
                f"{catalogue.name} has no tag {', '.join(unread)} among those opened, but it is to be kept; add it"
            )
        require_text(text)
        numbered = enumerate(without_photos(catalogue))
        usable = [(row, product) for row, product in numbered if all(map(product.tags.get, self.keep))]
        if len(usable) < 2:
            raise InputError(
                f"{catalogue.name} split {catalogue.split}: {counted(len(usable), 'product')} with {', '.join(self.keep)}, "
                "which right answers keep; name another tag by --keep"
            )
        self.catalogue, self.text, self.product_vector = catalogue, text, product_vector
        self.one_photo = not product_vector.text and all(len(product_vector.images(product)) == 1 for _, product in usable)
        self.rows = np.array([row for row, _ in usable])
        self.ids = [product.product_id for _, product in usable]
        self.texts = [product.text(text) for _, product in usable]
        self.places = {name: place for place, name in enumerate(self.ids)}
        self.table = TagTable.of(
            [[product.tags.get(name) for name in catalogue.tags] for _, product in usable], catalogue.tags
        )

    def __len__(self) -> int:
        return len(self.rows)

    def changing(self, swap: Sequence[str] | None) -> list[str]:
        """Tags that wishes may change: the given ones, or all but the kept ones."""
        return list(swap or (name for name in self.table.entities if name not in self.keep))

    @property
    def incomplete(self) -> int:
        """Number of products left out for a missing kept tag."""
        return len(self.catalogue) - len(self)

    def images(self) -> ProductImages:
        """First photo of each product, read on demand."""
        return ProductImages.first(self.catalogue, self.rows)

    def vectors(self, encoder: Encoder) -> np.ndarray:
        """Vectors (N, D) of the products."""
        return self.product_vector.encode(encoder, self.catalogue, self.rows)

    def place(self, name: str) -> int:
        """Row of a product.

        Raises:
            InputError: a list of queries names a product that is not here.
        """
        if name not in self.places:
            raise InputError(
                f"the list of queries names product {name!r}, which {self.catalogue.name} split {self.catalogue.split} "
                "does not have with the kept tags; draw a new list, or give the data and tags it was drawn from"
            )
        return self.places[name]

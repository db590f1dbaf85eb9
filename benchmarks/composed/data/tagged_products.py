"""Products of a catalogue for queries from tags.

Products that lack a tag are left out and counted: whether they meet a wish is unknown.
"""

from collections.abc import Sequence
from functools import cached_property

import numpy as np

from e2.adapters.product_images import ProductImages
from e2.benchmarks.composed.data.garment import kept_tags
from e2.benchmarks.composed.data.tag_pairs import TagTable
from e2.data.product import Catalogue, require_text, without_photos
from e2.errors import InputError


class TaggedProducts:
    """Products of a split that have every tag, read in one pass over its texts.

    Args:
        catalogue: one split.
        text: text of a product, ``caption`` or ``full``.
        keep: tags of the catalogue that stay unless a wish changes them; None: the kind of garment.

    Raises:
        InputError: no tags, none for the kind of garment, unknown text, or fewer than two complete products.
    """

    def __init__(self, catalogue: Catalogue, text: str = "caption", keep: Sequence[str] | None = None):
        self.keep = kept_tags(keep, catalogue.tags, name=catalogue.name)
        unread = [name for name in self.keep if name not in catalogue.tags]
        if unread:
            raise InputError(
                f"{catalogue.name} has no tag {', '.join(unread)} among those opened, but it is to be kept; add it"
            )
        require_text(text)
        rows, self.ids, self.texts, tags = [], [], [], []
        for row, product in enumerate(without_photos(catalogue)):
            if all(product.tags.get(name) for name in catalogue.tags):
                rows.append(row)
                self.ids.append(product.product_id)
                self.texts.append(product.text(text))
                tags.append([product.tags[name] for name in catalogue.tags])
        if len(rows) < 2:
            raise InputError(
                f"{catalogue.name} split {catalogue.split}: {len(rows)} products have all of the tags "
                f"{', '.join(catalogue.tags)}; name fewer by --tags"
            )
        self.catalogue, self.text = catalogue, text
        self.rows = np.array(rows)
        self.table = TagTable.of(tags, catalogue.tags)

    def __len__(self) -> int:
        return len(self.rows)

    def changing(self, swap: Sequence[str] | None) -> list[str]:
        """Tags that wishes may change: the given ones, or all but the kept ones."""
        return list(swap or (name for name in self.table.entities if name not in self.keep))

    @property
    def incomplete(self) -> int:
        """Number of products left out for a missing tag."""
        return len(self.catalogue) - len(self)

    @cached_property
    def places(self) -> dict[str, int]:
        """Id -> row."""
        return {name: place for place, name in enumerate(self.ids)}

    def images(self) -> ProductImages:
        """First photo of each product, read on demand."""
        return ProductImages.first(self.catalogue, self.rows)

    def place(self, name: str) -> int:
        """Row of a product.

        Raises:
            InputError: a list of queries names a product that is not here.
        """
        if name not in self.places:
            raise InputError(
                f"the list of queries names product {name!r}, which {self.catalogue.name} split {self.catalogue.split} "
                "does not have with all tags; draw a new list, or give the data and tags it was drawn from"
            )
        return self.places[name]

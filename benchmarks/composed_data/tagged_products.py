"""The products of a catalogue that queries from tags are about.

Products that lack one of the tags are left out, and counted: nobody can say whether they meet a wish.
"""

from functools import cached_property

import numpy as np

from adapters.product_images import ProductImages
from benchmarks.composed_data.tag_pairs import TagTable
from benchmarks.items import TEXTS
from e2.data.product import Catalogue, texts_only
from e2.errors import InputError


class TaggedProducts:
    """The products of a split that have every tag, in one pass over its texts.

    Args:
        catalogue: one split.
        text: which text stands for a product, ``caption`` or ``full``.

    Raises:
        InputError: no tags named, unknown text, or fewer than two complete products.
    """

    def __init__(self, catalogue: Catalogue, text: str = "caption"):
        if not catalogue.tags:
            raise InputError(f"{catalogue.name}: a benchmark from tags needs some; name them by --tags brand,colour,...")
        if text not in TEXTS:
            raise InputError(f"unknown text {text!r}; choose {' or '.join(TEXTS)}")
        light = texts_only(catalogue)
        rows, self.ids, self.texts, tags = [], [], [], []
        for row in range(len(light)):
            product = light[row]
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

    @property
    def incomplete(self) -> int:
        """Products left out because a tag is missing."""
        return len(self.catalogue) - len(self)

    @cached_property
    def places(self) -> dict[str, int]:
        """Id -> place."""
        return {name: place for place, name in enumerate(self.ids)}

    def images(self) -> ProductImages:
        """The first photo of each product, read when asked for."""
        return ProductImages.first(self.catalogue, self.rows)

    def place(self, name: str) -> int:
        """Raises:
        InputError: a list of queries names a product that is not here.
        """
        if name not in self.places:
            raise InputError(
                f"the list of queries names product {name!r}, which {self.catalogue.name} split {self.catalogue.split} "
                "does not have with all tags; draw a new list, or give the data and tags it was drawn from"
            )
        return self.places[name]

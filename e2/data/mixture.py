"""Several catalogues to train on at once, each with a weight."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from e2.data.draw import Portion
from e2.data.product import Catalogue, Product, texts_only
from e2.data.shard_order import shard_order
from e2.errors import InputError


class Mixture:
    """Catalogues one after another, with the weights that training shows them by.

    An entity that one of them lacks is missing from its products.
    """

    def __init__(self, catalogues: Sequence[Catalogue], weights: Sequence[float]):
        self.catalogues = tuple(catalogues)
        orders = [shard_order(each, of=len(catalogues)) for each in catalogues]
        parts = zip(catalogues, weights, orders, strict=True)
        self.portions = tuple(Portion(len(each), weight, order=order) for each, weight, order in parts)
        self.name = " + ".join(each.name for each in catalogues)
        self.split = catalogues[0].split
        self.tags = tuple(dict.fromkeys(tag for each in catalogues for tag in each.tags))
        self._ends = np.cumsum([portion.size for portion in self.portions])

    def __len__(self) -> int:
        return int(self._ends[-1])

    def __getitem__(self, index: int) -> Product:
        row = range(len(self))[index]
        number = int(np.searchsorted(self._ends, row, side="right"))
        return self.catalogues[number][row - int(self._ends[number])]  # counted from the end of its catalogue

    def text_only(self) -> "Mixture":
        """Same products with empty image bytes."""
        return Mixture([texts_only(each) for each in self.catalogues], [portion.weight for portion in self.portions])


def portions_of(catalogue: Catalogue, replacement: bool) -> tuple[Portion, ...]:
    """Parts of a mixture, one of weight 1 for any other catalogue, drawn with ``replacement`` or without."""
    alone = Portion(len(catalogue), order=shard_order(catalogue))
    portions = catalogue.portions if isinstance(catalogue, Mixture) else (alone,)
    if replacement and any(portion.order for portion in portions):
        raise InputError(
            "data.replacement draws among all shards at any time, but data.shard_cache has no room for all of them"
        )
    return tuple(replace(portion, replacement=replacement) for portion in portions)

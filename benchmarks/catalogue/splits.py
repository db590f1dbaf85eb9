"""All splits of a catalogue as one sequence of products."""

from collections.abc import Sequence

import numpy as np

from e2.data.mixture import Mixture
from e2.data.product import Catalogue, texts_only


class AllSplits(Mixture):
    """Products of several splits, one split after another.

    Args:
        catalogues: the splits, at least one.
    """

    def __init__(self, catalogues: Sequence[Catalogue]):
        super().__init__(catalogues, [1.0] * len(catalogues))
        self.name = catalogues[0].name
        self.split = ", ".join(catalogue.split for catalogue in catalogues)

    def split_of(self, index: int) -> str:
        """Name of a product's split."""
        return self.catalogues[int(np.searchsorted(self._ends, index, side="right"))].split

    def text_only(self) -> "AllSplits":
        """Same products, their photos left unread."""
        return AllSplits([texts_only(catalogue) for catalogue in self.catalogues])

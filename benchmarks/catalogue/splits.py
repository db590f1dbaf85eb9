"""All splits of a catalogue as one sequence of products."""

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate

from e2.data.product import Catalogue, Product, texts_only


class AllSplits:
    """Products of several splits, one split after another.

    Args:
        catalogues: the splits, at least one.
    """

    def __init__(self, catalogues: Sequence[Catalogue]):
        self.catalogues = catalogues
        self.name = catalogues[0].name
        self.split = ", ".join(catalogue.split for catalogue in catalogues)
        self.tags = catalogues[0].tags
        self._ends = list(accumulate(map(len, catalogues)))

    def __len__(self) -> int:
        return self._ends[-1]

    def __getitem__(self, index: int) -> Product:
        index = range(len(self))[index]
        part = bisect_right(self._ends, index)
        return self.catalogues[part][index - self._ends[part] + len(self.catalogues[part])]

    def split_of(self, index: int) -> str:
        """Name of a product's split."""
        return self.catalogues[bisect_right(self._ends, index)].split

    def text_only(self) -> "AllSplits":
        """Same products, their photos left unread."""
        return AllSplits([texts_only(catalogue) for catalogue in self.catalogues])

"""Searches a catalogue in memory like an index, for `e2 compose search`, which builds none."""

from collections import Counter
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa

from e2.adapters.composed.top_k import search as exact_search
from e2.adapters.embeddings.read import StoredProducts, StoredVectors
from e2.adapters.encoder import Encoder
from e2.adapters.product_vector import ALL_PHOTOS, ProductVector
from e2.adapters.search.filters import Filter
from e2.adapters.search.snapshot import Column, ProductTags
from e2.adapters.search.store import IndexHit, Manifest
from e2.data.product import Catalogue, texts_only, without_photos
from e2.errors import InputError, require_choice
from e2.version import __version__

TARGETS = ("image", "text")


class MemoryStore:
    """A `Searchable` of photos or descriptions; a product of several descriptions is found by its best.

    Nothing is embedded or read before the first search.

    Args:
        encoder: of the vectors.
        catalogue: searched catalogue; with an index, source of descriptions and tags.
        index: output of `e2 embed`, instead of embedding the catalogue.
        target: image (one vector of each product's photos) or text (descriptions; the first of each without an index).
        product_vector: rule of the products' vectors.
    """

    def __init__(
        self,
        encoder: Encoder,
        catalogue: Catalogue | None = None,
        index: str | Path | None = None,
        target: str = "image",
        product_vector: ProductVector = ALL_PHOTOS,
    ):
        if catalogue is None and index is None:
            raise InputError("nothing to search in: give a catalogue or an index")
        require_choice("target", target, TARGETS)
        self.encoder, self.catalogue, self.index, self.target = encoder, catalogue, index, target
        self.product_vector = product_vector
        products = [] if catalogue is None else [(p.product_id, p.tags) for p in without_photos(catalogue)]
        self._ids = [product_id for product_id, _ in products]
        self._rows = {product_id: row for row, product_id in enumerate(self._ids)}
        tags = [*(tags for _, tags in products), {}]  # the last are those of any other product of an index
        entities = () if catalogue is None else catalogue.tags
        columns = {name: Column.of([pa.array([own.get(name, "") for own in tags])]) for name in entities}
        self._columns = ProductTags(columns)

    @cached_property
    def manifest(self) -> Manifest:
        data, split = (str(self.index), "") if self.catalogue is None else (self.catalogue.name, self.catalogue.split)
        width = self.encoder.encode_texts(["a"], progress=False).shape[1]
        return Manifest(self.encoder.info, data, split, tuple(self._columns), width, "", __version__, complete=True)

    def __len__(self) -> int:
        return len(set(self.vectors[1]))

    def search(self, queries: np.ndarray, k: int, where: Filter | None, offset: int) -> list[list[IndexHit]]:
        vectors, ids = self.vectors
        rows = self._passing(where)
        if not len(rows):
            return [[] for _ in queries]
        most = (k + offset) * max(Counter(ids).values())  # vectors that contain so many products
        scores, best = exact_search(queries, vectors[rows], most, device=self.encoder.device)
        found = []
        for line in zip(scores.tolist(), best.tolist(), strict=True):
            scored: dict[str, float] = {}
            for score, row in zip(*line, strict=True):
                scored.setdefault(ids[rows[row]], score)
            found.append([self._hit(name, scored[name]) for name in list(scored)[offset : offset + k]])
        return found

    def count(self, where: Filter | None) -> int:
        return len({self.vectors[1][row] for row in self._passing(where)})

    def facets(self, where: Filter | None) -> dict[str, dict[str, int]]:
        return self._columns.facets(self._columns.passing(where))

    def _passing(self, where: Filter | None) -> np.ndarray:
        """Rows of the vectors whose products pass a filter."""
        passes = np.zeros(len(self._ids) + 1, dtype=bool)
        passes[self._columns.passing(where)] = True
        return np.flatnonzero(passes[[self._rows.get(name, len(self._ids)) for name in self.vectors[1]]])

    def photo(self, product_id: str) -> bytes | Path | None:
        """First photo of a product, if there is a catalogue."""
        if self.catalogue is None or product_id not in self._rows:
            return None
        return self.catalogue[self._rows[product_id]].images[0]

    @cached_property
    def vectors(self) -> tuple[np.ndarray, list[str]]:
        """Vectors (N, D), and the product of each."""
        if self.index is not None and self.target == "image":
            ids, vectors = zip(*StoredProducts(self.index, self.encoder, self.product_vector), strict=True)
            return np.stack(vectors), list(ids)
        if self.index is not None:
            return read_vectors(self.index, self.encoder, self.target)
        assert self.catalogue is not None  # one of them is given
        if self.target == "image":
            return self.product_vector.encode(self.encoder, self.catalogue), self._ids
        return self.encoder.encode_texts([product.captions[0] for product in without_photos(self.catalogue)]), self._ids

    def _hit(self, product_id: str, score: float) -> IndexHit:
        if self.catalogue is None or product_id not in self._rows:
            return IndexHit(product_id, score, "", {})
        product = texts_only(self.catalogue)[self._rows[product_id]]
        return IndexHit(product_id, score, product.captions[0], dict(product.tags))


def read_vectors(path: str | Path, encoder: Encoder, kind: str) -> tuple[np.ndarray, list[str]]:
    """Reads the vectors (N, D) of one kind that `e2 embed` wrote, and the product of each."""
    stored = StoredVectors(path, encoder, kind)
    vectors = np.empty((len(stored), stored.width), dtype=np.float32)
    product_ids: list[str] = []
    for ids, part in stored.batches():
        vectors[len(product_ids) : len(product_ids) + len(ids)] = part
        product_ids += ids
    return vectors, product_ids

"""Index of a catalogue for searches and the app, independent of the engine."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from e2.adapters.encoder import Encoder, load_encoder
from e2.adapters.encoder_paths import check_noted, load_noted
from e2.adapters.search.address import shown
from e2.adapters.search.engines import folder_of, open_store
from e2.adapters.search.filters import Filter, all_of, entities_of, equals, numbers_in, parse_filter
from e2.adapters.search.store import IndexHit, Manifest, Searchable, Store
from e2.adapters.search.words import Matches
from e2.adapters.unit_vectors import normalised
from e2.errors import InputError
from e2.finite import require_finite

Where = str | Filter | None
MOST = 10_000  # largest depth of paging; engines slow down, and a Milvus cluster refuses beyond 16,384


class ProductSearch:
    """Searches products by vectors and tags.

    Args:
        store: the engine that holds them.
    """

    def __init__(self, store: Searchable):
        self.store = store

    def __len__(self) -> int:
        return len(self.store)

    @property
    def manifest(self) -> Manifest:
        """Manifest of the index, with the present number of products."""
        return replace(self.store.manifest, count=len(self.store))

    @property
    def entities(self) -> tuple[str, ...]:
        """Tags that filters may name."""
        return self.store.manifest.entities

    def search(self, vectors: np.ndarray, k: int = 20, where: Where = None, offset: int = 0) -> list[list[IndexHit]]:
        """Finds the products nearest to each query, best first, all from one moment.

        Args:
            vectors: (Q, D), of any length; (D,) is one query.
            k: hits per query; fewer if there are no more.
            where: a filter, parsed or in the grammar of `e2.adapters.search.filters`; None or blank: all products.
            offset: number of the best to skip, for paging.

        Raises:
            InputError: vectors of another width or not finite, a wrong filter, or k and offset out of range.
        """
        if k < 1 or offset < 0 or k + offset > MOST:
            raise InputError(f"cannot give {k} hits after the first {offset}; ask for at least one, up to the {MOST:,}th")
        return self.store.search(self._queries(vectors), k, self.filter(where), offset)

    def facets(self, where: Where = None) -> dict[str, dict[str, int]]:
        """Counts products that pass a filter: entity -> value -> number, most frequent first.

        Raises:
            InputError: a wrong filter.
        """
        return self.store.facets(self.filter(where))

    def count(self, where: Where = None) -> int:
        """Counts products that pass a filter.

        Raises:
            InputError: a wrong filter.
        """
        return self.store.count(self.filter(where))

    def filter(
        self,
        where: Where = None,
        tags: Mapping[str, Sequence[str]] = MappingProxyType({}),
        ranges: Mapping[str, tuple[float, float]] = MappingProxyType({}),
    ) -> Filter | None:
        """Joins a user's filter, chosen tags and ranges, each parsed separately; None: all products.

        Args:
            where: a filter, parsed or in the grammar of `e2.adapters.search.filters`.
            tags: entity -> values, of which a product must have one.
            ranges: entity -> lowest and highest number, between which one of a product's values must lie.

        Raises:
            InputError: a wrong filter, or an unknown tag.
        """
        counts = cache(lambda: self.store.facets(None))  # counted once, and only for numbers
        values = lambda entity: counts().get(entity, {})  # noqa: E731
        if isinstance(where, str):
            where = parse_filter(where, self.entities, values) if where.strip() else None
        within = [numbers_in(name, values(name), (">=", low), ("<=", high)) for name, (low, high) in ranges.items()]
        tree = all_of([where, equals(tags), *within])
        for entity in sorted(entities_of(tree) - set(self.entities) if tree else ()):
            raise InputError(f"there is no tag {entity!r}; there are {', '.join(self.entities) or 'none in this index'}")
        return tree

    def _queries(self, vectors: np.ndarray) -> np.ndarray:
        queries = np.atleast_2d(np.asarray(vectors, dtype=np.float32))
        if queries.ndim != 2 or queries.shape[1] != self.store.manifest.dim:
            raise InputError(f"the index holds vectors of width {self.store.manifest.dim}, not of shape {queries.shape}")
        require_finite(queries, "query vectors")
        return normalised(queries)


class ProductIndex(ProductSearch):
    """Searches products by vectors, ids and tags. Thread-safe.

    Args:
        store: the engine that holds them.
    """

    store: Store

    def __init__(self, store: Store):
        super().__init__(store)

    @property
    def generation(self) -> str:
        """Token that changes whenever a product does, or when the index is replaced and must be reopened.

        Raises:
            InputError: the index is gone.
        """
        return self.store.generation

    def get(self, product_ids: Sequence[str]) -> list[IndexHit]:
        """Products of these ids, in order, with score 1; unknown ones are left out."""
        known = self.store.get(product_ids)
        return [known[name] for name in product_ids if name in known]

    def vectors(self, product_ids: Sequence[str]) -> np.ndarray:
        """Returns (N, D) L2-normalised vectors of some products, to search for similar ones.

        Raises:
            InputError: an unknown id.
        """
        found = self.store.vectors(product_ids)
        missing = [name for name in product_ids if name not in found]
        if missing:
            raise InputError(f"the index has no product {missing[0]!r}")
        return np.stack([found[name] for name in product_ids]) if found else np.empty((0, self.manifest.dim), np.float32)

    def words(self, text: str, most: int, where: Where = None) -> Matches:
        """Finds up to ``most`` products by words in ids, descriptions and tags, best first.

        Raises:
            InputError: a wrong filter.
        """
        return self.store.words(text, most, self.filter(where))

    def thumbnail(self, product_id: str) -> bytes | None:
        """Product's photo as a JPEG of at most 256 pixels per side; None if there is no such product."""
        return self.store.thumbnail(product_id)

    def delete(self, product_ids: Sequence[str]) -> int:
        """Deletes products; returns how many existed."""
        return self.store.delete(product_ids)

    def close(self) -> None:
        self.store.close()


def open_index(path_or_uri: str | Path, encoder: Encoder | None = None) -> ProductIndex:
    """Opens an index.

    Args:
        path_or_uri: a folder of `e2 index build`, or ``http://HOST:PORT/COLLECTION`` on a Milvus server.
        encoder: encoder for queries; None if the index's own vectors suffice.

    Raises:
        InputError: no index, or one of another encoder.
    """
    store = open_store(str(path_or_uri))
    if encoder is not None:
        try:
            check_encoder(store.manifest, encoder, shown(str(path_or_uri)))
        except InputError:
            store.close()
            raise
    return ProductIndex(store)


def check_encoder(manifest: Manifest, encoder: Encoder, where: str) -> None:
    """Refuses an encoder whose vectors are not comparable with the index's.

    Raises:
        InputError: it has other weights.
    """
    remedy = "give that one, or build the index again by e2 index build --overwrite"
    check_noted(manifest.encoder, encoder, where, remedy)


def encoder_of(address: str, name: str | None = None, **options: Any) -> Encoder:
    """Loads the encoder that an index was built with.

    Args:
        address: the index's path or URI.
        name: the encoder's present path; None: found automatically, see `load_noted`.
        options: of `load_encoder`.

    Raises:
        InputError: no index, or the encoder is not found, or has other weights.
    """
    store = open_store(address)
    manifest = store.manifest
    store.close()
    if not name:
        return load_noted(manifest.encoder, folder_of(address), shown(address), **options)
    encoder = load_encoder(name, **options)
    check_encoder(manifest, encoder, shown(address))
    return encoder

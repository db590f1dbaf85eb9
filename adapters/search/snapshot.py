"""Products of a local index at one moment, as arrays in memory, for searches and counts."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import pyarrow as pa

from e2.adapters.composed.top_k import search as exact_search
from e2.adapters.search.clusters import Clusters
from e2.adapters.search.filters import Filter, mask
from e2.adapters.search.vector_types import KeptVectors, candidates
from e2.data.product import values_of

EXACT = 50_000  # products up to which every vector is searched: tens of milliseconds at width 512
BLOCK = 16_384  # rows gathered at a time
KEPT = 8  # filters whose products are cached, for the next page and for counts: about 10 MB each for a million


@dataclass(frozen=True)
class Column:
    """One tag of all products: that of product n is ``tags[codes[n]]``."""

    codes: np.ndarray  # (N,) int32
    tags: list[str]

    @classmethod
    def of(cls, parts: Sequence[pa.Array]) -> "Column":
        """Builds the column from the texts of all products, in order."""
        encoded = (pa.concat_arrays(parts) if parts else pa.array([], pa.string())).dictionary_encode()
        return cls(encoded.indices.to_numpy(zero_copy_only=False), encoded.dictionary.to_pylist())

    @cached_property
    def codes_of(self) -> dict[str, list[int]]:
        """Value -> codes of the tags that have it."""
        found: dict[str, list[int]] = {}
        for code, tag in enumerate(self.tags):
            for value in values_of(tag):
                found.setdefault(value, []).append(code)
        return found

    def matches(self, values: Sequence[str]) -> np.ndarray:
        """Mask (N,) of the products with one of these values."""
        wanted = np.zeros(len(self.tags), dtype=bool)
        wanted[[code for value in values for code in self.codes_of.get(value, ())]] = True
        return wanted[self.codes]

    def counts(self, products: np.ndarray | slice) -> dict[str, int]:
        """Counts some products: value -> number, most frequent first; missing tags are not counted."""
        values, owners, codes = self._pairs
        tagged = np.bincount(self.codes[products], minlength=len(self.tags))
        counts = np.bincount(owners, tagged[codes], minlength=len(values)).astype(np.int64)
        order = np.argsort(-counts, kind="stable")  # equal counts by value
        return {values[place]: count for place, count in zip(order.tolist(), counts[order].tolist(), strict=True) if count}

    @cached_property
    def _pairs(self) -> tuple[list[str], np.ndarray, np.ndarray]:
        """Values in order, and each pair of a value's place (M,) and the code (M,) of a tag that has it."""
        values = sorted(value for value in self.codes_of if value)
        codes = [self.codes_of[value] for value in values]
        owners = np.repeat(np.arange(len(values)), [len(own) for own in codes])
        return values, owners, np.array([code for own in codes for code in own], np.int64)


class ProductTags(dict[str, Column]):
    """Tags of all products, by entity."""

    def passing(self, where: Filter | None) -> np.ndarray | slice:
        """Numbers (P,) of the products that pass a filter, ascending; a slice for all."""
        if where is None:
            return slice(None)
        return np.flatnonzero(mask(where, lambda entity, values: self[entity].matches(values)))

    def facets(self, products: np.ndarray | slice) -> dict[str, dict[str, int]]:
        """Counts some products: entity -> value -> number."""
        return {entity: column.counts(products) for entity, column in self.items()}


@dataclass(frozen=True)
class Passed:
    """Products that pass a filter."""

    products: np.ndarray | slice  # (P,) their numbers among the N, ascending; a slice for all
    rows: np.ndarray  # (P,) of their vectors
    held: int  # number of them, the first ones, that the clusters may hold
    allowed: np.ndarray  # (U,) bool, their rows in the clusters


@dataclass(frozen=True, eq=False)
class Snapshot:
    """N products."""

    generation: int  # of the numbering of rows
    ids: pa.StringArray  # (N,) of products
    rows: np.ndarray  # (N,) ascending, row of each one's vector
    columns: ProductTags
    all_vectors: KeptVectors  # of S rows, including those of deleted products
    clusters: Clusters | None  # for fast search among many; None: search all
    _passed: dict[Filter | None, Passed] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.rows)

    def search(self, queries: np.ndarray, k: int, where: Filter | None) -> list[list[tuple[str, float]]]:
        """Finds the best ``k`` of the products that pass, for each query (Q, D)."""
        passed = self._passing(where)
        if not len(passed.rows):
            return [[] for _ in queries]
        if self.clusters is None or len(passed.rows) <= EXACT:
            scores, best = self._exact(queries, passed.rows, k)
        else:
            scores, best = self._clustered(queries, passed, k)
        products = np.searchsorted(self.rows, best)
        return [
            [(self.ids[int(number)].as_py(), float(score)) for number, score, row in zip(*found, strict=True) if row >= 0]
            for found in zip(products, scores, best, strict=True)
        ]

    def count(self, where: Filter | None) -> int:
        """Counts products that pass a filter."""
        return len(self._passing(where).rows)

    def passing_rows(self, where: Filter | None) -> np.ndarray | slice:
        """Rows of the products that pass a filter, ascending; a slice for all."""
        return slice(None) if where is None else self._passing(where).rows

    def facets(self, where: Filter | None) -> dict[str, dict[str, int]]:
        """Counts products: entity -> value -> number, most frequent first; missing tags are not counted."""
        return self.columns.facets(self._passing(where).products)

    def _passing(self, where: Filter | None) -> Passed:
        """Products that pass a filter, cached."""
        if (found := self._passed.get(where)) is None:
            found = self._found(where)
            for oldest in list(self._passed)[: max(0, len(self._passed) - KEPT + 1)]:
                self._passed.pop(oldest, None)  # another thread may have been faster
            self._passed[where] = found
        return found

    def _found(self, where: Filter | None) -> Passed:
        products = self.columns.passing(where)
        rows = self.rows[products]
        upto = 0 if self.clusters is None else self.clusters.upto
        held = int(np.searchsorted(rows, upto))
        allowed = np.zeros(upto, dtype=bool)
        allowed[rows[:held]] = True
        return Passed(products, rows, held, allowed)

    def _exact(self, queries: np.ndarray, rows: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Searches ``rows`` exhaustively: scores and rows (Q, <= k) of the best."""
        if len(rows) == len(self.all_vectors) and self.all_vectors.exact:
            return exact_search(queries, self.all_vectors.rows, k)
        scores, best = np.empty((len(queries), 0), np.float32), np.empty((len(queries), 0), np.int64)
        for start in range(0, len(rows), BLOCK):
            part = rows[start : start + BLOCK]
            found, nearest = exact_search(queries, self.all_vectors[part], k)
            scores, best = np.concatenate([scores, found], 1), np.concatenate([best, part[nearest]], 1)
            order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
            scores, best = np.take_along_axis(scores, order, 1), np.take_along_axis(best, order, 1)
        return scores, best

    def _clustered(self, queries: np.ndarray, passed: Passed, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Searches candidates of the clusters, and all rows outside them."""
        assert self.clusters is not None  # `search` is exhaustive without clusters
        chosen = self.clusters.candidates(queries, candidates(k, self.clusters.bits), passed.allowed)
        scores = np.full((len(queries), k), -np.inf, np.float32)
        best = np.full((len(queries), k), -1, np.int64)
        for number, found in enumerate(chosen):
            part = np.concatenate([np.sort(found[found >= 0]), passed.rows[passed.held :]])
            if len(part):
                values, order = self._exact(queries[number : number + 1], part, k)
                scores[number, : values.shape[1]], best[number, : values.shape[1]] = values[0], order[0]
        return scores, best

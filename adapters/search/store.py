"""Parts of an index, and the interface of engines that keep it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Protocol

import numpy as np

from e2.adapters.search.filters import Filter
from e2.adapters.search.vector_types import TYPES
from e2.adapters.search.words import Matches
from e2.errors import InputError, printable

FORMAT = 1  # raised when older readers cannot read what is written


class IndexTrouble(InputError):
    """An index cannot be read or written now. The message names its place, which visitors of an app should not see."""


@dataclass(frozen=True)
class Manifest:
    """Description of an index."""

    encoder: dict[str, Any]  # its ``path``, ``weights_sha256``, ``backbone`` and ``method``
    data: str  # the SPEC that it was built from
    split: str  # its split
    entities: tuple[str, ...]  # tags of its products, which filters may name
    dim: int  # D, the width of a vector
    created: str  # date, ISO 8601 in UTC
    version: str  # of this code
    complete: bool = False  # whether the build was finished
    count: int = 0  # present number of products
    format: int = FORMAT
    # Indexes of earlier versions do not name these
    product_vector: str = "first"  # rule of the products' vectors
    vector_type: str = "float32"
    picture_side: int = 256  # pixels of the longer side of the products' pictures

    def record(self) -> dict[str, Any]:
        return asdict(self)


def read_manifest(text: str | None, where: str) -> Manifest:
    """Reads a stored JSON manifest.

    Raises:
        InputError: it is not a manifest, or of a later version.
    """
    names = {field.name for field in fields(Manifest)}
    try:
        record = json.loads(text or "null")
    except ValueError:
        record = None
    if (
        not isinstance(record, dict)
        or record.get("format") != FORMAT
        or {"product_vector", "vector_type", "picture_side", *record} != names
        or [type(record[name]) for name in ("encoder", "entities", "dim")] != [dict, list, int]
        or type(record.get("picture_side", 0)) is not int
        or record.get("vector_type", "float32") not in TYPES
    ):
        raise InputError(f"{where} is not an index that this version reads; build it again by e2 index build")
    return Manifest(**{**record, "entities": tuple(record["entities"])})


@dataclass(frozen=True)
class Entry:
    """One product of an index, with its vector checked for all engines.

    Raises:
        InputError: the vector is not finite, so no search could rank it.
    """

    product_id: str  # unique
    digest: str  # of photos, description and tags: equal ones need not be embedded again
    caption: str  # the description
    tags: Mapping[str, str]  # entity -> value; missing ones are absent
    thumbnail: bytes  # a small JPEG
    vector: np.ndarray  # (D,), L2-normalised

    def __post_init__(self):
        if not np.isfinite(self.vector).all():
            raise InputError(
                f"product {printable(self.product_id[:40])}: its vector holds NaN or infinity; nothing of its block was "
                "written; fix the encoder or the features, then continue with --resume"
            )


@dataclass(frozen=True)
class IndexHit:
    """A product that was found; ``score`` is the cosine of its photo and the query."""

    product_id: str
    score: float
    caption: str
    tags: dict[str, str]

    def record(self) -> dict[str, Any]:
        return {**asdict(self), "score": round(self.score, 5)}


class Searchable(Protocol):
    """Products that can be searched, in an index or in memory."""

    @property
    def manifest(self) -> Manifest:
        """Manifest as of the opening of the store."""

    def __len__(self) -> int: ...

    def search(self, queries: np.ndarray, k: int, where: Filter | None, offset: int) -> list[list[IndexHit]]:
        """Finds, for each query (Q, D), the ``k`` products after the best ``offset``, with their descriptions at that time."""

    def count(self, where: Filter | None) -> int:
        """Counts products that pass a filter."""

    def facets(self, where: Filter | None) -> dict[str, dict[str, int]]:
        """Counts products: entity -> value -> number, most frequent first."""


class Store(Searchable, Protocol):
    """Engine of an index. Products are named by their ids; unknown ones are left out of answers.

    Several processes may read and write one index: each answer is from one moment, each write is whole or not at all.
    """

    @property
    def generation(self) -> str:
        """Token ``INDEX WRITES`` that changes whenever any process changes a product.

        The first word changes when the index is replaced and must be reopened.

        Raises:
            InputError: the index is gone, or its server does not answer.
        """

    def get(self, product_ids: Sequence[str]) -> dict[str, IndexHit]:
        """Products by their ids, with score 1."""

    def vectors(self, product_ids: Sequence[str]) -> dict[str, np.ndarray]: ...

    def thumbnail(self, product_id: str) -> bytes | None: ...

    def words(self, text: str, most: int, where: Filter | None) -> Matches:
        """Finds up to ``most`` products by words in ids, descriptions and tags; none in an index of an earlier version."""

    def digests(self, product_ids: Sequence[str]) -> dict[str, str]: ...

    def write(self, entries: Sequence[Entry]) -> None:
        """Adds products, or replaces those of the same ids: all of them or, if the process dies, none.

        Until `finish`, the manifest then marks the index as incomplete, so that a restart recognises a stopped build.
        """

    def delete(self, product_ids: Sequence[str]) -> int:
        """Deletes products; returns how many existed."""

    def finish(self) -> None:
        """Prepares what was written for fast search, and marks the index as complete.

        An index that replaces another takes its place only now.
        """

    def close(self) -> None: ...

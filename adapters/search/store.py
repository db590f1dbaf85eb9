"""What an index consists of, and what an engine that keeps it can do."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Protocol

import numpy as np

from adapters.search.filters import Filter
from e2.errors import InputError

FORMAT = 1  # raised when a reader of today could not read what is written


@dataclass(frozen=True)
class Manifest:
    """What an index was made of.

    Attributes:
        encoder: its ``path``, ``weights_sha256``, ``backbone`` and ``method``.
        data: the SPEC that it was built from.
        split: of that.
        entities: the tags that its products have, which filters may name.
        dim: D, the width of a vector.
        created: when, ISO 8601 in UTC.
        version: of this code.
        complete: whether the build came to its end.
        count: products at the moment.
    """

    encoder: dict[str, Any]
    data: str
    split: str
    entities: tuple[str, ...]
    dim: int
    created: str
    version: str
    complete: bool = False
    count: int = 0
    format: int = FORMAT

    def record(self) -> dict[str, Any]:
        return asdict(self)


def read_manifest(text: str | None, where: str) -> Manifest:
    """A manifest as it was stored, in JSON.

    Raises:
        InputError: it is none, or was written by a later version.
    """
    names = {field.name for field in fields(Manifest)}
    try:
        record = json.loads(text or "null")
    except ValueError:
        record = None
    if not isinstance(record, dict) or record.get("format") != FORMAT or set(record) != names:
        raise InputError(f"{where} is no index that this version reads; build it again by e2 index build")
    return Manifest(**{**record, "entities": tuple(record["entities"])})


@dataclass(frozen=True)
class Entry:
    """One product of an index.

    Attributes:
        product_id: unique.
        digest: of the photo, the description and the tags that it was made from: equal ones need not be made again.
        caption: the description.
        tags: entity -> value; missing ones are absent.
        thumbnail: a small JPEG.
        vector: (D,), L2-normalised.
    """

    product_id: str
    digest: str
    caption: str
    tags: Mapping[str, str]
    thumbnail: bytes
    vector: np.ndarray


@dataclass(frozen=True)
class Described:
    """The words of a product."""

    caption: str
    tags: dict[str, str]


class Store(Protocol):
    """An engine. Products are named by their ids; what is unknown is left out of answers."""

    @property
    def manifest(self) -> Manifest: ...

    def __len__(self) -> int: ...

    def search(self, queries: np.ndarray, k: int, where: Filter | None, offset: int) -> list[list[tuple[str, float]]]:
        """For each of the queries (Q, D) the next ``k`` products after the best ``offset``, with their cosines."""

    def describe(self, product_ids: Sequence[str]) -> dict[str, Described]: ...

    def vectors(self, product_ids: Sequence[str]) -> dict[str, np.ndarray]: ...

    def thumbnail(self, product_id: str) -> bytes | None: ...

    def digests(self, product_ids: Sequence[str]) -> dict[str, str]: ...

    def facets(self, where: Filter | None) -> dict[str, dict[str, int]]:
        """Entity -> value -> how many products, the frequent first."""

    def write(self, entries: Sequence[Entry]) -> None:
        """Adds products, or replaces those of the same ids: all of them or, when the process dies, none."""

    def delete(self, product_ids: Sequence[str]) -> int:
        """Returns how many of them there were."""

    def finish(self) -> None:
        """After writing: puts what was written in order for fast search, and notes that the index is complete."""

    def close(self) -> None: ...

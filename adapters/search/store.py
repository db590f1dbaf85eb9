"""What an index consists of, and what an engine that keeps it can do."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Protocol

import numpy as np

from e2.adapters.search.filters import Filter
from e2.errors import InputError, printable

USER = re.compile(r"^(\w+://).*@")  # with a password, of a URI
FORMAT = 1  # raised when a reader of today could not read what is written


def shown(place: str) -> str:
    """Where an index is, for messages and records: a URI without user and password."""
    return USER.sub(r"\1", place)


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
    """One product of an index; whatever engine keeps it, its vector is checked here.

    Attributes:
        product_id: unique.
        digest: of the photo, the description and the tags that it was made from: equal ones need not be made again.
        caption: the description.
        tags: entity -> value; missing ones are absent.
        thumbnail: a small JPEG.
        vector: (D,), L2-normalised.

    Raises:
        InputError: the vector is not finite: no search would ever order it.
    """

    product_id: str
    digest: str
    caption: str
    tags: Mapping[str, str]
    thumbnail: bytes
    vector: np.ndarray

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
        """As it was when the store was opened."""

    def __len__(self) -> int: ...

    def search(self, queries: np.ndarray, k: int, where: Filter | None, offset: int) -> list[list[IndexHit]]:
        """For each of the queries (Q, D) the next ``k`` products after the best ``offset``, described as they were then."""

    def facets(self, where: Filter | None) -> dict[str, dict[str, int]]:
        """Entity -> value -> how many products, the frequent first."""


class Store(Searchable, Protocol):
    """An engine. Products are named by their ids; what is unknown is left out of answers.

    Several processes may read and write one index at a time: each answer is of one moment, each write is whole or not at all.
    """

    @property
    def generation(self) -> str:
        """``INDEX WRITES``: changes whenever a product does, whichever process did it.

        The first word changes when another index takes this one's place: then the place is to be opened again.

        Raises:
            InputError: the index is gone, or its server does not answer.
        """

    def get(self, product_ids: Sequence[str]) -> dict[str, IndexHit]:
        """Products by their ids, with score 1."""

    def vectors(self, product_ids: Sequence[str]) -> dict[str, np.ndarray]: ...

    def thumbnail(self, product_id: str) -> bytes | None: ...

    def digests(self, product_ids: Sequence[str]) -> dict[str, str]: ...

    def write(self, entries: Sequence[Entry]) -> None:
        """Adds products, or replaces those of the same ids: all of them or, when the process dies, none.

        From then on the manifest says that the index is not complete, until `finish`: a restart must tell a stopped build.
        """

    def delete(self, product_ids: Sequence[str]) -> int:
        """Returns how many of them there were."""

    def finish(self) -> None:
        """After writing: puts what was written in order for fast search, and notes that the index is complete.

        One that was created to replace another takes its place only now.
        """

    def close(self) -> None: ...

"""The product record that every data source yields and every consumer reads.

Legend used throughout the project: B batch, N patches, S selection tokens, E entities, D embedding width.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from typing_extensions import TypeIs

from e2.errors import InputError

TEXTS = ("caption", "full")  # the description; the description, then the tags
Box = tuple[float, float, float, float]  # x0, y0, x1, y1, each in 0..1 of the image's width and height


@dataclass(frozen=True)
class Product:
    """One record of a catalogue.

    A missing tag is absent from ``tags`` (never an empty string). ``regions`` holds the box of an entity where it
    is known, which is the case for the built-in catalogue only.
    """

    product_id: str
    images: Sequence[bytes | Path]  # encoded image files, in memory or on disk, maybe read when asked for; at least one
    captions: tuple[str, ...]  # descriptions; at least one
    tags: Mapping[str, str] = field(default_factory=dict)
    regions: Mapping[str, Box] = field(default_factory=dict)

    def text(self, kind: str, caption: int = 0) -> str:
        """The text that stands for the product: its description, or the *full* text (description, then the tags)."""
        require_text(kind)
        return self.captions[caption] if kind == "caption" else full_text(self.captions[caption], self.tags)


def require_text(kind: str) -> None:
    """Raises InputError unless ``kind`` is one of `TEXTS`."""
    if kind not in TEXTS:
        raise InputError(f"unknown text {kind!r}; choose {' or '.join(TEXTS)}")


def full_text(description: str, tags: Mapping[str, str]) -> str:
    """Description followed by the tags in words, e.g. ``"A red tee. Nike. Summer"`` (design: *full text*)."""
    return ". ".join([description.rstrip(" ."), *tags.values()])


class Catalogue(Protocol):
    """One split of a data source: a sequence of products with its name and its entities."""

    @property
    def name(self) -> str:
        """The SPEC it was read from."""

    @property
    def split(self) -> str: ...

    @property
    def tags(self) -> tuple[str, ...]:
        """The entities, in a fixed order."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Product: ...


def is_catalogue(data: object) -> TypeIs[Catalogue]:
    """Whether it is a catalogue, where texts alone may stand in its place."""
    return hasattr(data, "tags") and hasattr(data, "split")


def texts_only(catalogue: Catalogue) -> Catalogue:
    """The same products with their photos left unread, where the source can (it says so by a method ``text_only``)."""
    return catalogue.text_only() if hasattr(catalogue, "text_only") else catalogue


def without_photos(catalogue: Catalogue) -> Iterator[Product]:
    """All products one after another, their photos left unread where the source can."""
    light = texts_only(catalogue)
    return (light[row] for row in range(len(light)))

"""The product record that every data source yields and every consumer reads.

Legend used throughout the project: B batch, N patches, S selection tokens, E entities, D embedding width.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from typing_extensions import TypeIs

from e2.errors import InputError

TEXTS = ("caption", "full")  # the description; the description, then the tags
SEPARATOR = " | "  # between the values of a tag; no value contains a bar
Box = tuple[float, float, float, float]  # x0, y0, x1, y1, each in 0..1 of the image's width and height


@dataclass(frozen=True)
class Product:
    """One record of a catalogue.

    A missing tag is absent from ``tags`` (never an empty string). A tag may have several values, ``"casual | flat"``:
    `values_of`. ``regions`` holds an entity's box if known, which is only the case in the built-in catalogue.
    """

    product_id: str
    images: Sequence[bytes | Path]  # encoded image files, in memory or on disk, maybe read on demand; at least one
    captions: tuple[str, ...]  # descriptions; at least one, empty if there is none and an index is made
    tags: Mapping[str, str] = field(default_factory=dict)
    regions: Mapping[str, Box] = field(default_factory=dict)

    @property
    def values(self) -> dict[str, tuple[str, ...]]:
        """Values of each tag."""
        return {entity: values_of(tag) for entity, tag in self.tags.items()}

    def text(self, kind: str, caption: int = 0) -> str:
        """Text of the product: its description, or the *full* text (description, then the tags)."""
        require_text(kind)
        return self.captions[caption] if kind == "caption" else full_text(self.captions[caption], self.tags)


def require_text(kind: str) -> None:
    """Raises InputError unless ``kind`` is one of `TEXTS`."""
    if kind not in TEXTS:
        raise InputError(f"unknown text {kind!r}; choose {' or '.join(TEXTS)}")


def full_text(description: str, tags: Mapping[str, str]) -> str:
    """Joins the description and the tags, e.g. ``"A red tee. Nike. Summer"``; several values of a tag with commas."""
    return ". ".join([description.rstrip(" ."), *(", ".join(values_of(tag)) for tag in tags.values())])


def values_of(tag: str) -> tuple[str, ...]:
    """Values of a tag, most have one.

    >>> values_of("casual | flat"), values_of("Nike")
    (('casual', 'flat'), ('Nike',))
    """
    return tuple(tag.split(SEPARATOR))


def tag_of(values: Iterable[str]) -> str:
    """Tag of some values, each once, in their order; undoes `values_of`."""
    return SEPARATOR.join(dict.fromkeys(values))


def tag_text(prompt: str, entity: str, value: str) -> str:
    """Words a tag's value for a text encoder, in training as in use, by a template that may name ``{tag}`` and ``{entity}``.

    >>> tag_text("{entity}: {tag}", "sub_category", "Dress")
    'sub category: Dress'
    """
    return prompt.format(tag=value, entity=entity.replace("_", " "))


class Catalogue(Protocol):
    """One split of a data source: a sequence of products, with a name and entities."""

    @property
    def name(self) -> str:
        """SPEC it was read from."""

    @property
    def split(self) -> str: ...

    @property
    def tags(self) -> tuple[str, ...]:
        """Entities, in a fixed order."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Product: ...


def is_catalogue(data: object) -> TypeIs[Catalogue]:
    """True for a catalogue, as opposed to a list of texts."""
    return hasattr(data, "tags") and hasattr(data, "split")


def texts_only(catalogue: Catalogue) -> Catalogue:
    """Same products without reading their photos, if the source supports that (a method ``text_only``)."""
    return catalogue.text_only() if hasattr(catalogue, "text_only") else catalogue


def without_photos(catalogue: Catalogue) -> Iterator[Product]:
    """All products one after another, their photos left unread where the source can."""
    light = texts_only(catalogue)
    return (light[row] for row in range(len(light)))

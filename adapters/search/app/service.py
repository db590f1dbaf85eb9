"""Searches: from what a user asks for to a page of products with the filters that narrow it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from e2.adapters.composed.baselines import TEXT_WEIGHT
from e2.adapters.search.app.geometry import Box, seen_box
from e2.adapters.search.app.live import LiveIndex
from e2.adapters.search.app.models import Models
from e2.adapters.search.app.photos import PhotoShelf, SentPhoto
from e2.adapters.search.index import ProductIndex
from e2.adapters.search.queries import Found, IndexQuery, search, vocabulary_of
from e2.adapters.search.store import IndexHit
from e2.errors import InputError

BROWSE = "fashion"  # what products are ordered by while nothing is searched for
DEEPEST = 1000  # products that one search can be paged through


class NotFound(InputError):
    """A product, a photo or a method that is not there."""


@dataclass(frozen=True)
class Search:
    """What a user asks for; every part may be missing.

    Attributes:
        text: words; beside a photo the wish, what should differ.
        photo: ``upload:HASH`` or ``product:ID``.
        method: how photo and words are put together; None = the default.
        weight: of the words, in 0..1, for ``slerp``.
        tags: entity -> values, of which a product must carry one.
        where: a filter in the words of `e2 index search --filter`, in addition.
        k: products on a page.
        offset: products before it.
    """

    text: str = ""
    photo: str | None = None
    method: str | None = None
    weight: float = TEXT_WEIGHT
    tags: Mapping[str, Sequence[str]] = field(default_factory=dict)
    where: str | None = None
    k: int = 24
    offset: int = 0


@dataclass(frozen=True)
class Page:
    """A page of a search's answer.

    Attributes:
        hits: best first; the product that the search started from is left out, and so is what has something unwanted.
        next_offset: where the next page starts; None = nothing more.
        facets: entity -> value -> products. The entity's own choice is left aside, so that further values can be chosen.
        method: how photo and words were put together; None where there was only one of them.
        steps: what a composed query went through, in words.
    """

    hits: list[IndexHit]
    next_offset: int | None
    facets: dict[str, dict[str, int]]
    method: str | None
    steps: dict[str, Any]


@dataclass(frozen=True)
class PhotoReading:
    """What the encoder reads off a photo.

    Attributes:
        tags: entity -> nearest values with their cosines.
        selections: entity -> fusion layer -> weight of each patch, (rows, columns); empty for an encoder without tokens.
        seen: the part of the photo that the patches cover.
    """

    tags: dict[str, list[tuple[str, float]]]
    selections: dict[str, dict[int, np.ndarray]]
    seen: Box


class SearchService:
    """Answers for many threads at once.

    Args:
        index: of products.
        models: the index's encoder and what goes with it.
        shelf: uploaded photos.
        place: where the index lies, to notice what becomes of it; None: it stays as it is.
    """

    def __init__(self, index: ProductIndex, models: Models, shelf: PhotoShelf | None = None, place: str | None = None):
        self.models, self.shelf = models, shelf or PhotoShelf()
        live = LiveIndex(index, place, models.encoder, self._renew) if place else None
        self._now = live.now if live else lambda: index

    @property
    def index(self) -> ProductIndex:
        """As it is now; a request asks once.

        Raises:
            Unavailable: there is none to search.
        """
        return self._now()

    def _renew(self) -> None:
        """After the index has changed: tags are read, and wishes understood, in the words that it has now."""
        vocabulary = vocabulary_of(self.index)
        if vocabulary != self.models.vocabulary:
            self.models = self.models.with_vocabulary(vocabulary)

    def search(self, asked: Search) -> Page:
        """One page.

        Raises:
            NotFound: the photo is no longer kept, or there is no such product.
            InputError: a filter that cannot be read, an unknown method or entity.
        """
        index = self.index
        where = index.filter(asked.where, asked.tags)
        query, method = self._query(asked)
        k = min(asked.k, DEEPEST - asked.offset)
        found = search(index, query, k, where, asked.offset) if k > 0 else Found([], None)
        more = found.next_offset if (found.next_offset or DEEPEST) < DEEPEST else None
        return Page(found.hits, more, facets_of(index, asked), method, query.steps)

    def photo(self, photo_id: str) -> SentPhoto:
        """An uploaded photo, or a product's.

        Raises:
            NotFound: neither.
        """
        kind, _, name = photo_id.partition(":")
        if kind == "product":
            return SentPhoto(photo_id, self.thumbnail(name))
        photo = self.shelf.get(photo_id)
        if photo is None:
            raise NotFound("this photo is no longer kept here; choose it again")
        return photo

    def product(self, product_id: str) -> IndexHit:
        """One product.

        Raises:
            NotFound: there is none with this id.
        """
        found = self.index.get([product_id])
        if not found:
            raise NotFound("there is no such product in this index")
        return found[0]

    def thumbnail(self, product_id: str) -> bytes:
        """The JPEG that the index holds of a product.

        Raises:
            NotFound: there is none with this id.
        """
        jpeg = self.index.thumbnail(product_id)
        if jpeg is None:
            raise NotFound("there is no such product in this index")
        return jpeg

    def read(self, photo_id: str) -> PhotoReading:
        """Tags, and where the selection tokens looked.

        Raises:
            NotFound: no such photo.
        """
        photo = self.photo(photo_id)
        config = self.models.encoder.preprocessing
        seen = seen_box(photo.size, config["size"], config["resize_mode"])
        return PhotoReading(self.models.read_tags(photo), self.models.selections(photo), seen)

    def caption(self, photo_id: str) -> str:
        """A caption of a photo.

        Raises:
            NotFound: no such photo.
            InputError: the app has no captioner.
        """
        return self.models.caption(self.photo(photo_id))

    def _query(self, asked: Search) -> tuple[IndexQuery, str | None]:
        """What is searched for, and by which method photo and words are put together."""
        text = asked.text.strip() if asked.text.strip(" .,?!") else ""
        if asked.photo is None:
            return IndexQuery(self.models.text(text or BROWSE)[None]), None
        photo, method = self.photo(asked.photo), None
        if text:
            method = asked.method or self.models.methods[0]
            query = self.models.compose(method, photo, text, asked.weight)
        else:
            query = IndexQuery(self.models.look(photo).features[None])
        kind, _, name = asked.photo.partition(":")
        return replace(query, product_id=name if kind == "product" else None), method


def facets_of(index: ProductIndex, search: Search) -> dict[str, dict[str, int]]:
    """Counts under a search's filters, those of each entity under the filters on the others."""
    facets = dict(index.facets(index.filter(search.where, search.tags)))
    for entity in search.tags:
        others = {name: values for name, values in search.tags.items() if name != entity}
        facets[entity] = index.facets(index.filter(search.where, others)).get(entity, {})
    return facets

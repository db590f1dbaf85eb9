"""Answers searches with a page of products and the filters that narrow it."""

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

BROWSE = "fashion"  # order of products without a search
DEEPEST = 1000  # products that one search can be paged through


class NotFound(InputError):
    """A product, a photo or a method that does not exist."""


@dataclass(frozen=True)
class Search:
    """A user's search; every part may be missing."""

    text: str = ""  # words; with a photo the wish, what should differ
    photo: str | None = None  # ``upload:HASH`` or ``product:ID``
    method: str | None = None  # method for photo and words; None = the default
    weight: float = TEXT_WEIGHT  # of the words, in 0..1, for ``slerp``
    tags: Mapping[str, Sequence[str]] = field(default_factory=dict)  # entity -> values, of which a product must have one
    where: str | None = None  # a further filter as in `e2 index search --filter`
    k: int = 24  # products per page
    offset: int = 0  # products to skip


@dataclass(frozen=True)
class Page:
    """A page of a search's answer."""

    hits: list[IndexHit]  # best first, without the product that the search started from and those with unwanted values
    next_offset: int | None  # start of the next page; None = no more
    # entity -> value -> products. The entity's own filter is ignored, so that further values can be chosen
    facets: dict[str, dict[str, int]]
    method: str | None  # method for photo and words; None if there was only one of them
    steps: dict[str, Any]  # steps of a composed query, in words


@dataclass(frozen=True)
class PhotoReading:
    """Tags and selections that the encoder reads from a photo."""

    tags: dict[str, list[tuple[str, float]]]  # entity -> nearest values with their cosines
    # entity -> fusion layer -> weight of each patch, (rows, columns); empty for an encoder without tokens
    selections: dict[str, dict[int, np.ndarray]]
    seen: Box  # the part of the photo that the patches cover


class SearchService:
    """Answers searches of many threads at once.

    Args:
        index: of products.
        models: the index's encoder and further models.
        shelf: uploaded photos.
        place: path of the index, to follow changes; None: it does not change.
    """

    def __init__(self, index: ProductIndex, models: Models, shelf: PhotoShelf | None = None, place: str | None = None):
        self.models, self.shelf = models, shelf or PhotoShelf()
        live = LiveIndex(index, place, models.encoder, self._renew) if place else None
        self._now = live.now if live else lambda: index

    @property
    def index(self) -> ProductIndex:
        """The current index; a request asks once.

        Raises:
            Unavailable: none can be searched.
        """
        return self._now()

    def _renew(self) -> None:
        """Renews the vocabulary of tags and wishes after the index has changed."""
        vocabulary = vocabulary_of(self.index)
        if vocabulary != self.models.vocabulary:
            self.models = self.models.with_vocabulary(vocabulary)

    def search(self, asked: Search) -> Page:
        """Returns one page.

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
        """Returns an uploaded photo, or a product's.

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
        """Returns one product.

        Raises:
            NotFound: there is none with this id.
        """
        found = self.index.get([product_id])
        if not found:
            raise NotFound("there is no such product in this index")
        return found[0]

    def thumbnail(self, product_id: str) -> bytes:
        """Returns the product's JPEG in the index.

        Raises:
            NotFound: there is none with this id.
        """
        jpeg = self.index.thumbnail(product_id)
        if jpeg is None:
            raise NotFound("there is no such product in this index")
        return jpeg

    def read(self, photo_id: str) -> PhotoReading:
        """Reads tags, and where the selection tokens looked.

        Raises:
            NotFound: no such photo.
        """
        photo = self.photo(photo_id)
        config = self.models.encoder.preprocessing
        seen = seen_box(photo.size, config["size"], config["resize_mode"])
        return PhotoReading(self.models.read_tags(photo), self.models.selections(photo), seen)

    def caption(self, photo_id: str) -> str:
        """Captions a photo.

        Raises:
            NotFound: no such photo.
            InputError: the app has no captioner.
        """
        return self.models.caption(self.photo(photo_id))

    def _query(self, asked: Search) -> tuple[IndexQuery, str | None]:
        """Makes the query, and names the method that combines photo and words."""
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
    """Counts under a search's filters, each entity's under the filters on the others."""
    facets = dict(index.facets(index.filter(search.where, search.tags)))
    for entity in search.tags:
        others = {name: values for name, values in search.tags.items() if name != entity}
        facets[entity] = index.facets(index.filter(search.where, others)).get(entity, {})
    return facets

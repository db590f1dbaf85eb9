"""Answers searches with a page of products and the filters that narrow it."""

import re
from collections.abc import Collection, Mapping

import numpy as np

from e2.adapters.search.app.geometry import looked_at, parts_of, placed, seen_box
from e2.adapters.search.app.live import LOG, LiveIndex
from e2.adapters.search.app.models import Models
from e2.adapters.search.app.photos import PhotoShelf, SentPhoto
from e2.adapters.search.app.schemas import (
    DEEPEST,
    MOST_COUNTED,
    About,
    IndexedProduct,
    Layer,
    ProductPage,
    ProposedPart,
    Read,
    ReadOff,
    Search,
    Sure,
    Values,
    ValuesOf,
)
from e2.adapters.search.asked_sizes import asked_sizes
from e2.adapters.search.filters import Filter, all_of, number_of
from e2.adapters.search.index import ProductIndex
from e2.adapters.search.keeping import agreed_tags, near_tags, nearest_tags
from e2.adapters.search.photos import QueryPhoto, QueryPhotos, joined, read_box
from e2.adapters.search.queries import UNRANKED, Found, IndexQuery, alike, search, tags_of_photos, vocabulary_of
from e2.adapters.search.reranking.base import Reranker
from e2.adapters.search.sorting import numbered, order_of
from e2.adapters.search.weakness import mean_vector, weak_below
from e2.errors import InputError, escaped

BROWSE = "fashion"  # order of products without a search


class NotFound(InputError):
    """A product, a photo or a method that does not exist."""


class SearchService:
    """Answers searches of many threads at once.

    Args:
        index: of products.
        models: the index's encoder and further models.
        shelf: uploaded photos.
        address: path of the index, to follow changes; None: it does not change.
        reranker: orders the first hits anew; None: they stay.
    """

    def __init__(
        self,
        index: ProductIndex,
        models: Models,
        shelf: PhotoShelf | None = None,
        address: str | None = None,
        reranker: Reranker | None = None,
    ):
        self.models, self.shelf, self.reranker = models, shelf or PhotoShelf(), reranker
        self._mean: np.ndarray | None = None  # of the products' vectors, once it is needed
        live = LiveIndex(index, address, models.encoder, self._renew) if address else None
        self._now = live.now if live else lambda: index

    @property
    def index(self) -> ProductIndex:
        """The current index; a request asks once.

        Raises:
            Unavailable: none can be searched.
        """
        return self._now()

    def _renew(self) -> None:
        """Renews the vocabulary of tags and wishes, and the mean of the products, after the index has changed."""
        self._mean = None
        vocabulary = vocabulary_of(self.index)
        if vocabulary != self.models.vocabulary:
            self.models = self.models.with_vocabulary(vocabulary)

    def about(self) -> About:
        manifest = self.index.manifest
        return About(
            products=manifest.count,
            data=without_folders(manifest.data),
            encoder=without_folders(manifest.encoder["path"]),
            entities=list(manifest.entities),
            numbers=numbered(self.index.facets()),
            colour=self.models.colour,
            methods=list(self.models.methods),
            captions=self.models.captioner is not None,
            looks=bool(self.models.encoder.tags),
        )

    def search(self, asked: Search) -> ProductPage:
        """Returns one page, without the product that the search started from and those with unwanted values.

        Raises:
            NotFound: the photo is no longer kept, or there is no such product.
            InputError: a filter that cannot be read, an unknown method or entity.
        """
        index = self.index
        query, method = self._query(index, asked)
        where = all_of([where_of(index, asked), query.where])
        k = min(asked.k, DEEPEST - asked.offset)
        order = order_of(asked.sort, index.entities)
        reranker = self.reranker if asked.closely else None
        found = search(index, query, k, where, asked.offset, reranker, order) if k > 0 else Found([], None)
        if found.unranked:  # may name the server, which visitors should not see
            LOG.warning("re-ranker: hits were not judged, %s", found.unranked)
        more = found.next_offset if (found.next_offset or DEEPEST) < DEEPEST else None
        weak = self._weak(index, asked, query, found)
        products = [IndexedProduct(**hit.record(), weak=hit.product_id in weak) for hit in found.hits]
        count = index.count(where)
        facets = facets_of(index, asked, query.where)
        shown = {entity: bounded(counts, asked.tags(index.entities).get(entity, ())) for entity, counts in facets.items()}
        return ProductPage(
            products=products,
            next_offset=more,
            found=count,
            sorted=found.sorted,
            facets=shown,
            more={entity: left for entity, counts in facets.items() if (left := len(counts) - len(shown[entity]))},
            unfiltered={} if count else unfiltered(index, asked, query.where),
            method=method,
            steps={name: step for name, step in (query.steps | found.told).items() if name != UNRANKED},
        )

    def values(self, asked: ValuesOf) -> Values:
        """Returns the values of a tag that have some letters.

        Raises:
            NotFound: there is no such tag.
            InputError: a filter that cannot be read.
        """
        index = self.index
        if asked.entity not in index.entities:
            raise NotFound(f"there is no tag {escaped(asked.entity)}")
        query, _ = self._query(index, asked)
        counts = index.facets(all_of([where_of(index, asked, asked.entity), query.where])).get(asked.entity, {})
        letters = asked.letters.casefold()
        fitting = {value: count for value, count in counts.items() if letters in value.casefold()}
        values = dict(list(fitting.items())[:MOST_COUNTED])
        return Values(values=values, more=len(fitting) - len(values))

    def _weak(self, index: ProductIndex, asked: Search, query: IndexQuery, found: Found) -> set[str]:
        """Ids of the hits that hardly match the words of a search by words alone, in order of their scores."""
        if found.best is None or asked.sort:
            return set()
        if self._mean is None:
            self._mean = mean_vector(index)
        below = weak_below(query.vector[0], found.best, self._mean)
        return {hit.product_id for hit in found.hits if hit.score < below} - found.worded

    def photo(self, photo_id: str) -> SentPhoto:
        """Returns an uploaded photo, or a product's.

        Raises:
            NotFound: neither.
        """
        name = product_in(photo_id)
        if name is not None:
            return SentPhoto(photo_id, self.thumbnail(name))
        photo = self.shelf.get(photo_id)
        if photo is None:
            raise NotFound("this photo is no longer kept here; choose it again")
        return photo

    def product(self, product_id: str) -> IndexedProduct:
        """Returns one product.

        Raises:
            NotFound: there is none with this id.
        """
        found = self.index.get([product_id])
        if not found:
            raise NotFound("there is no such product in this index")
        return IndexedProduct(**found[0].record())

    def thumbnail(self, product_id: str) -> bytes:
        """Returns the product's JPEG in the index.

        Raises:
            NotFound: there is none with this id.
        """
        jpeg = self.index.thumbnail(product_id)
        if jpeg is None:
            raise NotFound("there is no such product in this index")
        return jpeg

    def read(self, photo_id: str, box: str | None = None) -> ReadOff:
        """Reads tags, and where the selection tokens looked, off a photo or a part of it.

        Raises:
            NotFound: no such photo.
            InputError: no such box.
        """
        photo, config = self._part(photo_id, box), self.models.encoder.preprocessing
        seen = seen_box(photo.size, config["size"], config["resize_mode"])
        name = product_in(photo_id)
        own = {} if name is None or box else self.product(name).tags
        agreed = agreed_tags(nearest_tags(self.index, self.models.look(photo).features))
        tags = {}
        for entity, nearest in self.models.read_tags(photo).items():
            surest = own.get(entity) or agreed.get(entity)
            cosines = dict(nearest)
            values = list(dict.fromkeys([*([surest] if surest else []), *cosines]))
            sure: Sure = "known" if entity in own else "likely" if surest else "guess"
            tags[entity] = [
                Read(value=value, sure=sure if value == values[0] else "guess", cosine=cosines.get(value)) for value in values
            ]
        selections = self.models.selections(photo)
        looks = {
            entity: [Layer(layer=layer, weights=weights.round(3).tolist()) for layer, weights in layers.items()]
            for entity, layers in selections.items()
        }
        if box:
            return ReadOff(tags=tags, looks=looks, parts=[], seen=placed(seen, read_box(box)))
        boxes = {entity: looked_at(sum(layers.values(), np.zeros(())), seen) for entity, layers in selections.items()}
        parts = [ProposedPart(entities=names, box=part) for names, part in parts_of(boxes)]
        return ReadOff(tags=tags, looks=looks, parts=parts, seen=seen)

    def caption(self, photo_id: str, box: str | None = None) -> str:
        """Captions a photo, or a part of it.

        Raises:
            NotFound: no such photo.
            InputError: the app has no captioner, or no such box.
        """
        return self.models.caption(self._part(photo_id, box))

    def _part(self, photo_id: str, box: str | None) -> SentPhoto:
        photo = self.photo(photo_id)
        return photo.part(read_box(box)) if box else photo

    def _query(self, index: ProductIndex, asked: Search) -> tuple[IndexQuery, str | None]:
        """Makes the query, and names the method that combines photo and words."""
        if asked.box and len(asked.photo) != 1:
            raise InputError("a box is drawn on one photo; send one")
        with_photos = bool(asked.photo or asked.minus)
        sizes = asked_sizes(asked.q.strip() if asked.q.strip(" .,?!") else "", index.facets, alone=with_photos)
        words = sizes.rest
        if not with_photos:
            query = IndexQuery(self.models.text(words or BROWSE)[None], words, full_text=True, browses=not words)
            return query.narrowed(sizes), None
        photos = self._photos(asked)
        if not words:
            return alike(photos).narrowed(sizes), None
        method = asked.method or self.models.methods[0]
        nearest = nearest_tags(index, photos.look.features)
        tags = tags_of_photos(index, photos, nearest)
        query = self.models.compose(method, photos, words, tags, near_tags(nearest), asked.weight)
        return query.narrowed(sizes), method

    def _photos(self, asked: Search) -> QueryPhotos:
        """Looks at the photos of a search."""
        signed = [*((name, 1.0) for name in asked.photo), *((name, -1.0) for name in asked.minus)]
        boxes = [asked.box or None] + [None] * (len(signed) - 1)
        sent = [self._part(name, box) for (name, _), box in zip(signed, boxes, strict=True)]
        return joined(
            [
                QueryPhoto(self.models.look(photo), weight, photo.jpeg, product_in(name), part=box is not None)
                for photo, (name, weight), box in zip(sent, signed, boxes, strict=True)
            ]
        )


def product_in(photo_id: str) -> str | None:
    """Returns the id of the product whose photo is meant, ``product:ID``; None: a photo that was sent."""
    kind, _, name = photo_id.partition(":")
    return name if kind == "product" else None


def filtered(index: ProductIndex, search: Search) -> list[str]:
    """Entities of which a search chooses tags or a range."""
    return list({**search.tags(index.entities), **search.ranges(index.entities)})


def where_of(index: ProductIndex, search: Search, aside: str | None = None) -> Filter | None:
    """Joins a search's filters, without the tags and the range of the entity ``aside``."""
    tags = {name: values for name, values in search.tags(index.entities).items() if name != aside}
    ranges = {name: ends for name, ends in search.ranges(index.entities).items() if name != aside}
    return index.filter(search.filter, tags, ranges)


def facets_of(index: ProductIndex, search: Search, named: Filter | None) -> dict[str, dict[str, int]]:
    """Counts under a search's filters and what its words name, each entity's under the filters on the others."""
    facets = dict(index.facets(all_of([where_of(index, search), named])))
    for entity in filtered(index, search):
        facets[entity] = index.facets(all_of([where_of(index, search, entity), named])).get(entity, {})
    return facets


def bounded(counts: Mapping[str, int], chosen: Collection[str] = ()) -> dict[str, int]:
    """The most frequent of a tag's values, the chosen ones and, of numbers, the least and the greatest, as a page needs."""
    if len(counts) <= MOST_COUNTED:
        return dict(counts)
    frequent, ends = list(counts)[:MOST_COUNTED], []
    if sum(number_of(value) is not None for value in frequent) > len(frequent) / 2:
        numbers = {value: number for value in counts if (number := number_of(value)) is not None}
        ends = [end(numbers, key=lambda value: numbers[value]) for end in (min, max)]
    kept = {*frequent, *ends, *(value for value in chosen if value in counts)}
    return {value: count for value, count in counts.items() if value in kept}


def unfiltered(index: ProductIndex, search: Search, named: Filter | None) -> dict[str, int]:
    """Counts the products without the filters on each entity that a search chooses."""
    return {entity: index.count(all_of([where_of(index, search, entity), named])) for entity in filtered(index, search)}


def without_folders(name: str) -> str:
    """Strips folders of the server from a data set's or encoder's name, for visitors; bytes that are no UTF-8 are escaped.

    Example:
        >>> without_folders("products:/srv/shop/autumn"), without_folders("hf-hub:shop/fashion-clip")
        ('products:autumn', 'hf-hub:shop/fashion-clip')
    """
    return escaped(re.sub(r"(^|:)/.*/(?=.)", r"\1", name))

"""Turns words, photos, or both into a query vector, and that into hits.

Shared by `e2 compose search`, `e2 index search` and the app.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from e2.adapters.composed.base import Composed, Composer
from e2.adapters.composed.methods import start_search
from e2.adapters.composed.rule_editor import RuleEditor
from e2.adapters.composed.unwanted import Unwanted, unwanted_of
from e2.adapters.encoder import Encoder
from e2.adapters.search.asked_sizes import AskedSizes, asked_sizes
from e2.adapters.search.filters import Filter, Not, OneOf, all_of
from e2.adapters.search.hybrid import hybrid_search
from e2.adapters.search.index import MOST, ProductIndex, ProductSearch, Where
from e2.adapters.search.keeping import Reference, agreed_tags, keeps, kept_tags, near_tags, nearest_tags, tiers, wished_tags
from e2.adapters.search.photos import QueryPhotos
from e2.adapters.search.pictures import jpeg_of
from e2.adapters.search.reranking.base import Reranker, RerankHit, RerankQuery, reordered
from e2.adapters.search.sorting import NEAREST, Order, listed
from e2.adapters.search.store import IndexHit
from e2.adapters.sizes import shown_in_photos
from e2.data.images import ImageSource
from e2.errors import InputError

METHOD = "slerp"  # default method for a photo and words: needs no fitting
MOST_VALUES = 2000  # values of an entity to read tags from: each is a text to embed
SEEN = 512  # pixels per side of a query's photos, for a re-ranker
UNRANKED = "not reranked"  # step of a search
MORE = 50  # further hits looked up at a time, as descriptions may name something unwanted


@dataclass(frozen=True)
class IndexQuery:
    """A query to an index."""

    vector: np.ndarray  # (1, D)
    words: str = ""  # as typed; with a photo the wish
    liked: tuple[ImageSource, ...] = ()  # photos to start from
    unlike: tuple[ImageSource, ...] = ()  # and to move away from
    full_text: bool = False  # find the words in ids, descriptions and tags too
    unwanted: Unwanted | None = None  # values that a wish rejects; None without a wish
    steps: dict[str, Any] = field(default_factory=dict)  # steps of a composed query, in words
    products: tuple[str, ...] = ()  # those that it started from, which are not hits
    reference: Reference | None = None  # of a photo and a wish
    browses: bool = False  # asks for all products; the vector only orders them
    where: Filter | None = None  # sizes and numbers that the words name

    def leaves_out(self, hit: IndexHit) -> bool:
        """True if a product is not a hit: the one it started from, or one with unwanted values, by tags or description."""
        return hit.product_id in self.products or bool(self.unwanted and self.unwanted.in_product(hit.tags, hit.caption))

    def begun(self, photos: QueryPhotos) -> "IndexQuery":
        """Returns the query as one of these photos, whose products are not hits."""
        return replace(self, liked=photos.liked, unlike=photos.unlike, products=photos.products)

    def narrowed(self, sizes: AskedSizes) -> "IndexQuery":
        """Returns the query for products of some sizes only."""
        return replace(self, where=sizes.where, steps=self.steps | sizes.steps)


@dataclass(frozen=True)
class Found:
    """Hits, best first, and the offset of the next ones; None: there are no more."""

    hits: list[IndexHit]
    next_offset: int | None
    kept: Mapping[str, str] = field(default_factory=dict)  # tags of the reference; products with them come first
    corrected: Mapping[str, str] = field(default_factory=dict)  # words whose spelling was corrected
    worded: frozenset[str] = frozenset()  # ids of products that have the typed words
    best: float | None = None  # score of the best match of typed words
    reranked: str = ""  # how many hits a re-ranker judged
    unranked: str = ""  # why it did not judge the others
    sorted: int | None = None  # how many of the nearest products an order holds; None: all, or no order

    @property
    def told(self) -> dict[str, Any]:
        """Steps that a search adds to those of its query."""
        steps = {"kept": dict(self.kept), "spelling": dict(self.corrected), "reranked": self.reranked, UNRANKED: self.unranked}
        return {name: step for name, step in steps.items() if step}


def query_of(
    encoder: Encoder,
    *,
    text: str | None = None,
    photos: QueryPhotos | None = None,
    method: str | None = None,
    composer: Path | None = None,
    settings: Sequence[str] = (),
    products: ProductSearch,
    hybrid: bool = True,
) -> IndexQuery:
    """Makes the query for words, for photos, or for photos and what should differ.

    Args:
        encoder: the index's.
        text: words; with photos the wish.
        photos: see `joined`.
        method: of composed retrieval, for both; None: that of ``composer``, or else `METHOD`.
        composer: folder of `e2 compose fit`.
        settings: ``KEY=VALUE`` of the method, e.g. ``text_weight=0.5``.
        products: those to search; a wish may name their tags, and those of the nearest ones are read off the photos.
        hybrid: find words without a photo by ids, descriptions and tags too, and sizes and numbers by tags.
    """
    if text is not None and not text.strip():
        raise InputError("the text to search for is empty")
    if photos is not None and text is None:
        return alike(photos)
    if text is None:
        raise InputError("nothing to search for: give --text, --image, both, or --like PRODUCT_ID")
    if photos is None:
        sizes = asked_sizes(text, products.facets) if hybrid else AskedSizes(text)
        vector = encoder.encode_texts([sizes.rest or text], progress=False)
        return IndexQuery(vector, words=sizes.rest, full_text=hybrid).narrowed(sizes)
    vocabulary = vocabulary_of(products)
    chosen = start_search(encoder, method or (None if composer else METHOD), composer, None, settings, vocabulary)
    return composed_query(chosen, photos, text, products, vocabulary)


def alike(photos: QueryPhotos) -> IndexQuery:
    """Makes the query for products like the photos."""
    return IndexQuery(photos.look.features[None]).begun(photos)


def composed_query(
    composer: Composer,
    photos: QueryPhotos,
    wish: str,
    products: ProductSearch,
    vocabulary: Mapping[str, Sequence[str]] | None = None,
) -> IndexQuery:
    """Makes the query of photos and a wish; see `careful`.

    Args:
        products: those to search.
        vocabulary: `vocabulary_of` them, if it is there.
    """
    sizes = asked_sizes(wish, products.facets, alone=True)
    if not sizes.rest:
        return alike(photos).narrowed(sizes)
    vocabulary = vocabulary_of(products) if vocabulary is None else vocabulary
    nearest = nearest_tags(products, photos.look.features)
    tags = tags_of_photos(products, photos, nearest)
    found = composer.composed(photos.references(composer.encoder, tags=[tags]), [sizes.rest])
    reference = Reference(sizes.rest, RuleEditor(vocabulary), tags, near_tags(nearest))
    query = careful(found, reference, composer.encoder.encode_texts, vocabulary)
    return query.begun(photos).narrowed(sizes)


def tags_of_photos(products: ProductSearch, photos: QueryPhotos, nearest: Sequence[Mapping[str, str]]) -> Mapping[str, str]:
    """Returns the tags of the product that a query starts from, or else what the products nearest to its photos agree on."""
    if photos.whole and isinstance(products, ProductIndex) and (own := products.get([photos.whole])):
        return own[0].tags
    return agreed_tags(nearest)


def careful(
    found: Composed, reference: Reference, encode: Callable[[list[str]], np.ndarray], entities: Iterable[str]
) -> IndexQuery:
    """Makes a composed query avoid what its wish rejects ("anything but red"), and keep what it does not name.

    Args:
        found: of one reference and one wish.
        reference: the photo and the wish.
        encode: texts -> (N, D).
        entities: tags of the products.
    """
    unwanted = unwanted_of(found, reference.wish, reference.editor)
    steps = (dict(found.steps[0]) if found.steps else {}) | ({"unwanted": unwanted.names} if unwanted else {})
    vector = unwanted.avoided(found.vectors, encode, entities)
    return IndexQuery(vector, reference.wish, unwanted=unwanted, steps=steps, reference=reference)


def search(
    products: ProductSearch,
    query: IndexQuery,
    k: int,
    where: Where = None,
    offset: int = 0,
    reranker: Reranker | None = None,
    order: Order | None = None,
) -> Found:
    """Finds the next ``k`` products after ``offset`` that pass a filter and have no unwanted values.

    After a wish, products with the reference's garment come first, and among them those with what the wish names. The index
    filters by tags; unwanted values in descriptions are filtered out here.

    Args:
        products: those to search.
        query: it.
        k: hits.
        where: a filter.
        offset: `Found.next_offset` of the page before.
        reranker: orders the first hits of an index anew, by words or photos of the query; not those in another order.
        order: by a tag's numbers: of the `NEAREST` products, or of all if the query asks for all.

    Raises:
        InputError: a wrong filter, or k and offset out of range.
    """
    where = all_of([products.filter(where), query.where])
    if order is not None:
        return _in_order(products, query, k, where, offset, order)
    asks = bool(query.words or query.liked)
    if reranker is None or offset >= reranker.top or not asks or not isinstance(products, ProductIndex):
        return _found(products, query, k, where, offset)
    head = _reranked(products, query, _found(products, query, reranker.top, where, 0), reranker)
    if offset >= len(head.hits):
        return _found(products, query, k, where, offset)
    hits, end = head.hits[offset : offset + k], offset + k
    if end < len(head.hits):
        return replace(head, hits=hits, next_offset=end)
    if len(hits) == k or head.next_offset is None:
        return replace(head, hits=hits)
    rest = _found(products, query, k - len(hits), where, head.next_offset)
    return replace(head, hits=hits + rest.hits, next_offset=rest.next_offset)


def _in_order(products: ProductSearch, query: IndexQuery, k: int, where: Filter | None, offset: int, order: Order) -> Found:
    if query.browses:
        hits = listed(products, query.vector, order, k + 1, where, offset)
        return Found(hits[:k], offset + k if len(hits) > k else None)
    found = _found(products, query, NEAREST, where, 0)
    hits = order.sorted(found.hits)[offset : offset + k]
    return replace(found, hits=hits, next_offset=offset + k if offset + k < len(found.hits) else None, sorted=len(found.hits))


def _reranked(index: ProductIndex, query: IndexQuery, found: Found, reranker: Reranker) -> Found:
    """Orders hits anew; those with the kept tags stay in front."""
    liked, unlike = (tuple(jpeg_of(photo, SEEN) for photo in photos) for photos in (query.liked, query.unlike))
    candidates = [RerankHit(hit.caption, hit.tags, index.thumbnail(hit.product_id) or b"") for hit in found.hits]
    scores = reranker.scores(RerankQuery(query.words, liked, unlike, found.kept), candidates)
    hits = sorted(reordered(found.hits, scores.values), key=lambda hit: not keeps(hit.tags, found.kept))
    return replace(found, hits=hits, reranked=scores.told(reranker.name), unranked=scores.why)


def _found(products: ProductSearch, query: IndexQuery, k: int, where: Filter | None, offset: int) -> Found:
    if query.full_text and query.words and isinstance(products, ProductIndex):
        merged = hybrid_search(products, query.vector, query.words, _beyond(k, 1, offset), where, offset)
        more = offset + k if len(merged.hits) > k else None
        return Found(merged.hits[:k], more, {}, merged.corrected, merged.worded, merged.best)
    if query.unwanted:
        where = all_of([where, without(query.unwanted, products.facets())])
    kept = kept_tags(query.reference) if query.reference else {}
    wished = wished_tags(products, query.reference) if query.reference else {}
    step = _beyond(k, 1 + len(query.products) + (MORE if query.unwanted else 0), offset)
    ranked = _ranks(products, query.vector, step, tiers(where, kept, wished), offset)
    page = list(islice(((rank, hit) for rank, hit in ranked if not query.leaves_out(hit)), k + 1))
    return Found([hit for _, hit in page[:k]], page[k][0] if len(page) > k else None, kept)


def _beyond(k: int, further: int, offset: int) -> int:
    """Number of products to look up for ``k`` and the beginning of the next page, within `MOST`."""
    return max(k, min(k + further, MOST - offset))


def _ranks(
    products: ProductSearch, vector: np.ndarray, step: int, parts: Sequence[Filter | None], offset: int
) -> Iterator[tuple[int, IndexHit]]:
    """Yields the products from an offset on, with their ranks; looked up ``step`` at a time."""
    while found := _ranked(products, vector, step, parts, offset):
        yield from enumerate(found, offset)
        offset += len(found)
        if len(found) < step or offset >= MOST:
            return
        step = min(step, MOST - offset)


def _ranked(
    products: ProductSearch, vector: np.ndarray, k: int, parts: Sequence[Filter | None], offset: int
) -> list[IndexHit]:
    """Ranks the products of one filter after those of another, and gives ``k`` from an offset on."""
    found: list[IndexHit] = []
    for number, part in enumerate(parts):
        if len(found) < k:
            found += products.search(vector, k - len(found), part, offset)[0]
        if number + 1 < len(parts) and offset:
            offset = max(0, offset - products.count(part))
    return found


def without(unwanted: Unwanted, vocabulary: Mapping[str, Iterable[str]]) -> Filter | None:
    """Makes the filter against unwanted values, as far as tags tell; None without any."""
    return all_of(Not(OneOf(entity, tuple(values))) for entity, values in unwanted.of_tags(vocabulary).items())


def vocabulary_of(products: ProductSearch) -> dict[str, list[str]]:
    """Collects entity -> values of the products that photos show, most frequent first."""
    return {entity: values[:MOST_VALUES] for entity, values in shown_in_photos(products.facets()).items()}

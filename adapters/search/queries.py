"""Turns words, a photo, both, or a product of the index into a query vector, and that into hits.

Shared by `e2 compose search`, `e2 index search` and the app.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from e2.adapters.composed.base import Composed, Composer, References
from e2.adapters.composed.methods import start_search
from e2.adapters.composed.rule_editor import RuleEditor
from e2.adapters.composed.unwanted import Unwanted, unwanted_of
from e2.adapters.encoder import Encoder
from e2.adapters.search.filters import Filter, Not, OneOf, all_of
from e2.adapters.search.hybrid import hybrid_search
from e2.adapters.search.index import MOST, ProductIndex, ProductSearch, Where
from e2.adapters.search.keeping import Reference, agreed_tags, kept_tags, tiers, wished_tags
from e2.adapters.search.store import IndexHit
from e2.data.images import load_image
from e2.errors import InputError

METHOD = "slerp"  # default method for a photo and words: needs no fitting
MOST_VALUES = 2000  # values of an entity to read tags from: each is a text to embed
MORE = 50  # further hits checked, as descriptions may name something unwanted


@dataclass(frozen=True)
class IndexQuery:
    """A query to an index."""

    vector: np.ndarray  # (1, D)
    unwanted: Unwanted | None = None  # values that a wish rejects; None without a wish
    steps: dict[str, Any] = field(default_factory=dict)  # steps of a composed query, in words
    product_id: str | None = None  # the product that it started from, which is no hit
    reference: Reference | None = None  # of a photo and a wish
    words: str | None = None  # to be found in ids, descriptions and tags too; None: by the vector alone

    def leaves_out(self, hit: IndexHit) -> bool:
        """True if a product is no hit: the one it started from, or one with unwanted values, by tags or description."""
        return hit.product_id == self.product_id or bool(self.unwanted and self.unwanted.in_product(hit.tags, hit.caption))


@dataclass(frozen=True)
class Found:
    """Hits, best first, and the offset of the next ones; None: there are no more."""

    hits: list[IndexHit]
    next_offset: int | None
    kept: Mapping[str, str] = field(default_factory=dict)  # tags of the reference; products with them come first
    corrected: Mapping[str, str] = field(default_factory=dict)  # words whose spelling was corrected

    @property
    def told(self) -> dict[str, Any]:
        """Steps that a search adds to those of its query."""
        steps = {"kept": dict(self.kept), "spelling": dict(self.corrected)}
        return {name: step for name, step in steps.items() if step}


def query_of(
    encoder: Encoder,
    *,
    text: str | None = None,
    image: str | Path | None = None,
    method: str | None = None,
    composer: Path | None = None,
    settings: Sequence[str] = (),
    products: ProductSearch,
    hybrid: bool = True,
) -> IndexQuery:
    """Makes the query for words, for a photo, or for a photo and what should differ.

    Args:
        encoder: the index's.
        text: words; with a photo the wish.
        image: a photo's file.
        method: of composed retrieval, for both; None: that of ``composer``, or else `METHOD`.
        composer: folder of `e2 compose fit`.
        settings: ``KEY=VALUE`` of the method, e.g. ``text_weight=0.5``.
        products: those to search; a wish may name their tags, and those of the nearest ones are read off the photo.
        hybrid: find words without a photo by ids, descriptions and tags too.
    """
    if text is not None and not text.strip():
        raise InputError("the text to search for is empty")
    if text is None and image is None:
        raise InputError("nothing to search for: give --text, --image, both, or --like PRODUCT_ID")
    if image is None:
        return IndexQuery(encoder.encode_texts([text or ""], progress=False), words=text if hybrid else None)
    photo = load_image(Path(image))
    if text is None:
        return IndexQuery(encoder.encode_images([photo], progress=False))
    vocabulary = vocabulary_of(products)
    chosen = start_search(encoder, method or (None if composer else METHOD), composer, None, settings, vocabulary)
    return composed_query(chosen, image, text, products, vocabulary)


def composed_query(
    composer: Composer,
    image: str | Path,
    wish: str,
    products: ProductSearch,
    vocabulary: Mapping[str, Sequence[str]] | None = None,
) -> IndexQuery:
    """Makes the query of a photo's file (captions are looked up by its name) and a wish; see `careful`.

    Args:
        products: those to search.
        vocabulary: `vocabulary_of` them, if it is there.
    """
    vocabulary = vocabulary_of(products) if vocabulary is None else vocabulary
    features = composer.encoder.encode_images([Path(image)], progress=False)
    tags = agreed_tags(products, features)
    found = composer.composed(References(composer.encoder, [Path(image)], features, tags=[tags]), [wish])
    return careful(found, Reference(wish, RuleEditor(vocabulary), tags), composer.encoder.encode_texts, vocabulary)


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
    return IndexQuery(unwanted.avoided(found.vectors, encode, entities), unwanted, steps, reference=reference)


def search(products: ProductSearch, query: IndexQuery, k: int, where: Where = None, offset: int = 0) -> Found:
    """Finds the next ``k`` products after ``offset`` that pass a filter and have no unwanted values.

    After a wish, products with the reference's garment come first, and among them those with what the wish names. The index
    filters by tags; unwanted values in descriptions are filtered out here.

    Raises:
        InputError: a wrong filter, or k and offset out of range.
    """
    where, more = products.filter(where), int(query.product_id is not None)
    if query.unwanted:
        where, more = all_of([where, without(query.unwanted, products.facets())]), more + MORE
    kept = kept_tags(query.reference) if query.reference else {}
    wished = wished_tags(products, query.reference) if query.reference else {}
    asked = max(k, min(k + more, MOST - offset))
    corrected: Mapping[str, str] = {}
    if query.words and isinstance(products, ProductIndex):
        merged = hybrid_search(products, query.vector, query.words, asked, where, offset)
        listed, corrected = merged.hits, merged.corrected
    else:
        listed = _ranked(products, query.vector, asked, tiers(where, kept, wished), offset)
    left = [rank for rank, hit in enumerate(listed) if not query.leaves_out(hit)][:k]
    looked_at = left[-1] + 1 if len(left) == k else len(listed)
    over = looked_at == len(listed) < asked
    return Found([listed[rank] for rank in left], None if over else offset + looked_at, kept, corrected)


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


def similar(index: ProductIndex, product_id: str, k: int, where: Where = None) -> list[IndexHit]:
    """Finds the ``k`` products nearest to one of the index, without itself.

    Raises:
        InputError: no such product, or a wrong filter.
    """
    return search(index, IndexQuery(index.vectors([product_id]), product_id=product_id), k, where).hits


def vocabulary_of(products: ProductSearch) -> dict[str, list[str]]:
    """Collects entity -> values of the products, from which tags are read; most frequent first."""
    found = {entity: [value for value in values if value][:MOST_VALUES] for entity, values in products.facets().items()}
    return {entity: values for entity, values in found.items() if values}

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
from e2.adapters.search.index import MOST, ProductIndex, ProductSearch, Where
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

    def leaves_out(self, hit: IndexHit) -> bool:
        """True if a product is no hit: the one it started from, or one with unwanted values, by tags or description."""
        return hit.product_id == self.product_id or bool(self.unwanted and self.unwanted.in_product(hit.tags, hit.caption))


@dataclass(frozen=True)
class Found:
    """Hits, best first, and the offset of the next ones; None: there are no more."""

    hits: list[IndexHit]
    next_offset: int | None


def query_of(
    encoder: Encoder,
    *,
    text: str | None = None,
    image: str | Path | None = None,
    method: str | None = None,
    composer: Path | None = None,
    settings: Sequence[str] = (),
    vocabulary: Mapping[str, Sequence[str]] | None = None,
) -> IndexQuery:
    """Makes the query for words, for a photo, or for a photo and what should differ.

    Args:
        encoder: the index's.
        text: words; with a photo the wish.
        image: a photo's file.
        method: of composed retrieval, for both; None: that of ``composer``, or else `METHOD`.
        composer: folder of `e2 compose fit`.
        settings: ``KEY=VALUE`` of the method, e.g. ``text_weight=0.5``.
        vocabulary: entity -> values of the index's tags, which a wish may name and ``slots`` reads from the photo.
    """
    if text is not None and not text.strip():
        raise InputError("the text to search for is empty")
    if text is None and image is None:
        raise InputError("nothing to search for: give --text, --image, both, or --like PRODUCT_ID")
    if image is None:
        return IndexQuery(encoder.encode_texts([text or ""], progress=False))
    photo = load_image(Path(image))
    if text is None:
        return IndexQuery(encoder.encode_images([photo], progress=False))
    chosen = start_search(encoder, method or (None if composer else METHOD), composer, None, settings, vocabulary)
    return composed_query(chosen, image, text, vocabulary or {})


def composed_query(composer: Composer, image: str | Path, wish: str, vocabulary: Mapping[str, Sequence[str]]) -> IndexQuery:
    """Makes the query of a photo's file (captions are looked up by its name) and a wish; see `careful`."""
    found = composer.composed(References(composer.encoder, [Path(image)]), [wish])
    return careful(found, wish, RuleEditor(vocabulary), composer.encoder.encode_texts, vocabulary)


def careful(
    found: Composed, wish: str, editor: RuleEditor, encode: Callable[[list[str]], np.ndarray], entities: Iterable[str]
) -> IndexQuery:
    """Makes a composed query avoid what its wish rejects ("anything but red").

    Args:
        found: of one reference and one wish.
        editor: knows the values of the searched products.
        encode: texts -> (N, D).
        entities: tags of the products.
    """
    unwanted = unwanted_of(found, wish, editor)
    steps = (dict(found.steps[0]) if found.steps else {}) | ({"unwanted": unwanted.names} if unwanted else {})
    return IndexQuery(unwanted.avoided(found.vectors, encode, entities), unwanted, steps)


def search(products: ProductSearch, query: IndexQuery, k: int, where: Where = None, offset: int = 0) -> Found:
    """Finds the next ``k`` products after ``offset`` that pass a filter and have no unwanted values.

    The index filters by tags; unwanted values in descriptions are filtered out here.

    Raises:
        InputError: a wrong filter, or k and offset out of range.
    """
    where, more = products.filter(where), int(query.product_id is not None)
    if query.unwanted:
        where, more = all_of([where, without(query.unwanted, products.facets())]), more + MORE
    asked = max(k, min(k + more, MOST - offset))
    listed = products.search(query.vector, asked, where, offset)[0]
    kept = [rank for rank, hit in enumerate(listed) if not query.leaves_out(hit)][:k]
    looked_at = kept[-1] + 1 if len(kept) == k else len(listed)
    over = looked_at == len(listed) < asked
    return Found([listed[rank] for rank in kept], None if over else offset + looked_at)


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

"""What a user asks for -> a query vector: words, a photo, both, or a product of the index."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from e2.adapters.composed.base import References
from e2.adapters.composed.rule_editor import RuleEditor
from e2.adapters.composed.searching import start_search
from e2.adapters.composed.unwanted import Unwanted, unwanted_of
from e2.adapters.encoder import Encoder
from e2.adapters.search.filters import Filter, Not, OneOf, all_of
from e2.adapters.search.index import MOST, ProductIndex, Where
from e2.adapters.search.store import IndexHit
from e2.data.images import load_image
from e2.errors import InputError

METHOD = "slerp"  # of a photo and words, where none is chosen: needs no fitting
MOST_VALUES = 2000  # of an entity that tags are read from: each is a text to embed
MORE = 50  # hits looked through beyond those asked for, where descriptions may name what is not wanted


@dataclass(frozen=True)
class IndexQuery:
    """What is searched for.

    Attributes:
        vector: (1, D).
        unwanted: what a wish wants gone; None where there is no wish.
        steps: what a composed query went through, in words.
    """

    vector: np.ndarray
    unwanted: Unwanted | None = None
    steps: dict[str, Any] = field(default_factory=dict)


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
    """The query for words, for a photo, or for a photo and what should differ.

    Args:
        encoder: that of the index.
        text: words; with a photo the wish.
        image: a photo's file.
        method: of composed retrieval, for both; None: that of ``composer``, else `METHOD`.
        composer: folder of `e2 compose fit`.
        settings: ``KEY=VALUE`` of the method, e.g. ``text_weight=0.5``.
        vocabulary: entity -> values of the index's tags, which a wish may name and ``slots`` reads off the photo.

    Raises:
        InputError: neither text nor photo, a bad photo, or what `e2 compose search` refuses.
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
    found = chosen.composed(References(encoder, [Path(image)]), [text])  # by its name captions are looked up
    unwanted = unwanted_of(found, text, RuleEditor(vocabulary))
    steps = (dict(found.steps[0]) if found.steps else {}) | ({"unwanted": unwanted.names} if unwanted else {})
    vector = unwanted.avoided(found.vectors, encoder.encode_texts, vocabulary or ())
    return IndexQuery(vector, unwanted, steps)


def search(index: ProductIndex, query: IndexQuery, k: int, where: Filter | None = None) -> list[IndexHit]:
    """The ``k`` best products that pass a filter and have nothing that is not wanted, by their tags or descriptions."""
    if not query.unwanted:
        return index.search(query.vector, k, where)[0]
    where = all_of([where, without(query.unwanted, index.facets())])
    hits = index.search(query.vector, min(k + MORE, MOST), where)[0]
    return [hit for hit in hits if not query.unwanted.in_product(hit.tags, hit.caption)][:k]


def without(unwanted: Unwanted, vocabulary: Mapping[str, Iterable[str]]) -> Filter | None:
    """The filter that keeps out what is not wanted, as far as tags say; None where none does."""
    return all_of(Not(OneOf(entity, tuple(values))) for entity, values in unwanted.of_tags(vocabulary).items())


def similar(index: ProductIndex, product_id: str, k: int, where: Where = None) -> list[IndexHit]:
    """The ``k`` products nearest to one of the index, itself left out.

    Raises:
        InputError: no such product, or a wrong filter.
    """
    hits = index.search(index.vectors([product_id]), k + 1, where)[0]
    return [hit for hit in hits if hit.product_id != product_id][:k]


def vocabulary_of(index: ProductIndex) -> dict[str, list[str]]:
    """Entity -> the values that products carry, of which tags are read; the frequent first."""
    found = {entity: [value for value in values if value][:MOST_VALUES] for entity, values in index.facets().items()}
    return {entity: values for entity, values in found.items() if values}

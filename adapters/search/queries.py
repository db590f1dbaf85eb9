"""What a user asks for -> a query vector: words, a photo, both, or a product of the index."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from adapters.composed.base import References
from adapters.composed.searching import start_search
from adapters.encoder import Encoder
from adapters.search.index import ProductIndex, Where
from adapters.search.store import Hit
from e2.data.images import load_image
from e2.errors import InputError

METHOD = "slerp"  # of a photo and words, where none is chosen: needs no fitting


def query_vector(
    encoder: Encoder,
    *,
    text: str | None = None,
    image: str | Path | None = None,
    method: str | None = None,
    composer: Path | None = None,
    settings: Sequence[str] = (),
) -> np.ndarray:
    """The query (1, D) for words, for a photo, or for a photo and what should differ.

    Args:
        encoder: that of the index.
        text: words; with a photo the wish.
        image: a photo's file.
        method: of composed retrieval, for both; None: that of ``composer``, else `METHOD`.
        composer: folder of `e2 compose fit`.
        settings: ``KEY=VALUE`` of the method, e.g. ``text_weight=0.5``.

    Raises:
        InputError: neither text nor photo, a bad photo, or what `e2 compose search` refuses.
    """
    if text is not None and not text.strip():
        raise InputError("the text to search for is empty")
    if text is None and image is None:
        raise InputError("nothing to search for: give --text, --image, both, or --like PRODUCT_ID")
    if image is None:
        return encoder.encode_texts([text or ""], progress=False)
    photo = load_image(Path(image))
    if text is None:
        return encoder.encode_images([photo], progress=False)
    chosen = start_search(encoder, method or (None if composer else METHOD), composer, None, settings)
    return chosen.composed(References(encoder, [photo]), [text]).vectors


def similar(index: ProductIndex, product_id: str, k: int, where: Where = None) -> list[Hit]:
    """The ``k`` products nearest to one of the index, itself left out.

    Raises:
        InputError: no such product, or a wrong filter.
    """
    hits = index.search(index.vectors([product_id]), k + 1, where)[0]
    return [hit for hit in hits if hit.product_id != product_id][:k]

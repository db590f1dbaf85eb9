"""Searches a catalogue without an index by a photo and a wish, for `e2 compose search`."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from e2.adapters.composed.base import Composer
from e2.adapters.product_vector import ALL_PHOTOS, ProductVector
from e2.adapters.search.index import ProductSearch
from e2.adapters.search.memory import MemoryStore
from e2.adapters.search.photos import file_photos, joined
from e2.adapters.search.queries import composed_query, search
from e2.adapters.search.sheet import save_sheet
from e2.adapters.search.store import IndexHit
from e2.data.images import BadImage, load_image
from e2.data.product import Catalogue
from e2.errors import InputError, printable
from e2.files import atomic_path

FILES = ("hits.json", "hits.png")


@dataclass(frozen=True)
class ComposedResult:
    """Answer of a search."""

    reference: Image.Image  # the photo
    wish: str  # the words
    info: dict[str, Any]  # of the composer
    steps: dict[str, Any]  # steps of the query, in words
    hits: Sequence[IndexHit]  # best first
    photos: Sequence[bytes | Path | None]  # of the hits; None without a catalogue

    def record(self) -> dict[str, Any]:
        hits = [{"rank": rank, **hit.record()} for rank, hit in enumerate(self.hits, start=1)]
        return {"wish": self.wish, "method": self.info, "steps": self.steps, "hits": hits}


def find(
    composer: Composer,
    image: str | Path,
    wish: str,
    *,
    catalogue: Catalogue | None = None,
    index: str | Path | None = None,
    target: str = "image",
    product_vector: ProductVector = ALL_PHOTOS,
    top: int = 12,
) -> ComposedResult:
    """Composes one query and searches a catalogue, or vectors of `e2 embed`.

    Args:
        composer: any.
        image: the reference photo's file.
        wish: what should differ.
        catalogue, index, target, product_vector: see `MemoryStore`.
        top: number of hits; a product is listed once, by its best vector.
    """
    try:
        reference = load_image(Path(image))
    except BadImage as error:
        raise InputError(f"--image {printable(str(image))}: {error.cause}; give another photo") from error
    store = MemoryStore(composer.encoder, catalogue, index, target, product_vector)
    products = ProductSearch(store)
    query = composed_query(composer, joined(file_photos(composer.encoder, [str(image)])), wish, products)
    answer = search(products, query, top)
    photos = [store.photo(hit.product_id) for hit in answer.hits]
    return ComposedResult(reference, wish, composer.info, query.steps | answer.told, answer.hits, photos)


def save_found(found: ComposedResult, out: Path) -> None:
    """Writes `FILES`: the answer and its contact sheet."""
    with atomic_path(Path(out) / FILES[0]) as path:
        text = json.dumps(found.record(), indent=2, ensure_ascii=False) + "\n"
        path.write_text(text, encoding="utf-8", errors="backslashreplace")
    save_sheet(found.reference, found.wish, found.hits, found.photos, Path(out) / FILES[1])

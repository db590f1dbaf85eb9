"""One search, from a photo and a wish to hits: what `e2 compose search` does."""

import json
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from PIL import Image

from e2.adapters.composed.base import Composer, References
from e2.adapters.composed.gallery import Gallery, gallery_of, read_index
from e2.adapters.composed.hits import ComposedHit, save_sheet
from e2.adapters.composed.methods import load_composer, make_composer
from e2.adapters.composed.rule_editor import RuleEditor
from e2.adapters.composed.settings import parse_options
from e2.adapters.composed.sources import catalogue_options
from e2.adapters.composed.top_k import search
from e2.adapters.composed.unwanted import Unwanted, unwanted_of
from e2.adapters.encoder import Encoder
from e2.data.images import BadImage, load_image
from e2.data.product import Catalogue, texts_only
from e2.errors import InputError, printable
from e2.files import atomic_path

FILES = ("hits.json", "hits.png")


@dataclass(frozen=True)
class ComposedResult:
    """A search's answer.

    Attributes:
        reference: the photo.
        wish: the words.
        info: of the composer.
        steps: what the query went through, in words.
        hits: best first.
    """

    reference: Image.Image
    wish: str
    info: dict[str, Any]
    steps: dict[str, Any]
    hits: list[ComposedHit]

    def record(self) -> dict[str, Any]:
        return {"wish": self.wish, "method": self.info, "steps": self.steps, "hits": [hit.record() for hit in self.hits]}


def start_search(
    encoder: Encoder,
    method: str | None,
    folder: Path | None,
    catalogue: Catalogue | None,
    settings: Sequence[str] = (),
    vocabulary: Mapping[str, Sequence[str]] | None = None,
) -> Composer:
    """The composer that a command asks for; what it needs and is not set comes from what is searched.

    Args:
        encoder: any.
        method: by name; None: that of ``folder``.
        folder: a fitted composer's.
        catalogue: what is searched, where it is at hand.
        settings: ``KEY=VALUE`` options.
        vocabulary: entity -> values of the tags of an index that is searched.

    Raises:
        InputError: neither method nor folder, or what `make_composer` refuses.
    """
    options = parse_options(settings)
    if method is None:
        if folder is None:
            raise InputError("choose how to compose: --method image, text, sum, slerp, cirevl or slots, or --composer DIR")
        return load_composer(folder, encoder, **options)
    if folder is not None:
        return make_composer(method, encoder, path=folder, **options)
    return make_composer(method, encoder, **catalogue_options(method, options, catalogue, vocabulary))


def find(
    composer: Composer,
    image: str | Path,
    wish: str,
    *,
    catalogue: Catalogue | None = None,
    index: str | Path | None = None,
    target: str = "image",
    top: int = 12,
) -> ComposedResult:
    """Composes one query and searches a catalogue, or an index, with it.

    Args:
        composer: any.
        image: the reference photo's file.
        wish: what should differ.
        catalogue: what is searched, and where hits' photos and texts come from.
        index: vectors of `e2 embed`, instead of computing them.
        target: image or text.
        top: hits; a product is listed once, by its best vector.

    What the wish wants gone ("anything but red") is kept out: products whose tags or description have it are no hits, and
    where neither says anything, what looks like it scores lower.

    Raises:
        InputError: a bad photo, wish, index or target.
    """
    reference = _reference(Path(image))
    query = composer.composed(References(composer.encoder, [image]), [wish])
    steps = dict(query.steps[0]) if query.steps else {}
    gallery = _gallery(composer.encoder, catalogue, index, target)
    vocabulary = _vocabulary(catalogue)
    if unwanted := unwanted_of(query, wish, RuleEditor(vocabulary)):
        steps["unwanted"] = unwanted.names
        gallery = _without(gallery, catalogue, unwanted.of_tags(vocabulary))
        query = replace(query, vectors=unwanted.avoided(query.vectors, composer.encoder.encode_texts, vocabulary))
    if not gallery.product_ids:
        return ComposedResult(reference, wish, composer.info, steps, [])
    several = len(gallery.product_ids) - len(set(gallery.product_ids))  # photos beyond one a product
    most = len(gallery.product_ids) if unwanted else max(1, several + top)
    scores, rows = search(query.vectors, gallery.vectors, min(most, 50 * top), device=composer.encoder.device)
    hits = _hits(scores[0], rows[0], gallery, catalogue, top, unwanted)
    return ComposedResult(reference, wish, composer.info, steps, hits)


def save_found(found: ComposedResult, out: Path) -> None:
    """Writes `FILES`: the answer and its contact sheet."""
    with atomic_path(Path(out) / FILES[0]) as path:
        text = json.dumps(found.record(), indent=2, ensure_ascii=False) + "\n"
        path.write_text(text, encoding="utf-8", errors="backslashreplace")
    save_sheet(found.reference, found.wish, found.hits, Path(out) / FILES[1])


def _reference(path: Path) -> Image.Image:
    try:
        return load_image(path)
    except BadImage as error:
        raise InputError(f"--image {printable(str(path))}: {error.cause}; give another photo") from error


def _gallery(encoder: Encoder, catalogue: Catalogue | None, index: str | Path | None, target: str) -> Gallery:
    if index is not None:
        return read_index(index, encoder, target)
    if catalogue is None:
        raise InputError("nothing to search in: give a catalogue or an index")
    return gallery_of(encoder, catalogue, target)


def _vocabulary(catalogue: Catalogue | None) -> dict[str, list[str]]:
    """The values of a catalogue's tags, the frequent first."""
    if catalogue is None:
        return {}
    light = texts_only(catalogue)
    counts: dict[str, Counter[str]] = {}
    for row in range(len(light)):
        for entity, value in light[row].tags.items():
            counts.setdefault(entity, Counter())[value] += 1
    return {entity: [value for value, _ in found.most_common()] for entity, found in counts.items()}


def _without(gallery: Gallery, catalogue: Catalogue | None, values: Mapping[str, Collection[str]]) -> Gallery:
    """The gallery less the products that have one of some tags."""
    if catalogue is None or not values:
        return gallery
    products = texts_only(catalogue)
    listed = (products[row] for row in range(len(products)))
    out = {p.product_id for p in listed if any(p.tags.get(entity) in names for entity, names in values.items())}
    rows = [row for row, product_id in enumerate(gallery.product_ids) if product_id not in out]
    return Gallery(gallery.vectors[rows], [gallery.product_ids[row] for row in rows])


def _hits(scores, rows, gallery: Gallery, catalogue: Catalogue | None, top: int, unwanted: Unwanted) -> list[ComposedHit]:
    places = {} if catalogue is None else _places(catalogue)
    best: dict[str, float] = {}
    for score, row in zip(scores, rows, strict=True):
        best.setdefault(gallery.product_ids[row], float(score))
    hits: list[ComposedHit] = []
    for product_id, score in best.items():
        rank = len(hits) + 1
        if rank > top:
            break
        if catalogue is None or product_id not in places:
            hits.append(ComposedHit(rank, score, product_id))
            continue
        product = catalogue[places[product_id]]
        if not unwanted.in_product(product.tags, product.captions[0]):
            hits.append(ComposedHit(rank, score, product_id, product.captions[0], product.tags, product.images[0]))
    return hits


def _places(catalogue: Catalogue) -> dict[str, int]:
    light = texts_only(catalogue)
    return {light[row].product_id: row for row in range(len(light))}

"""Collects what `e2 data check` tells of a catalogue."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from e2.adapters.embeddings.read import StoredProducts, read_along
from e2.adapters.encoder import Encoder
from e2.adapters.product_images import ProductImages
from e2.adapters.product_vector import FIRST_PHOTO
from e2.benchmarks.catalogue.copies import SAMPLE, copy_likeness
from e2.benchmarks.catalogue.labels import suspects
from e2.benchmarks.catalogue.neighbours import nearest_others
from e2.benchmarks.catalogue.photos import PhotoPrints, fingerprints
from e2.benchmarks.catalogue.projection import chosen, project
from e2.benchmarks.catalogue.splits import AllSplits
from e2.benchmarks.catalogue.twins import alike, close_photos, equal_keys, in_groups
from e2.benchmarks.catalogue.words import tag_faults, text_faults, text_key
from e2.data.product import Product, without_photos
from e2.errors import InputError
from e2.spelling import by_spelling, spelling

NEIGHBOURS = 20
NEAREST = 5  # neighbours whose mean cosine says how far out a product lies
FAR_OUT = 4.0  # standard deviations, estimated by the median absolute deviation, below the median


@dataclass
class Findings:
    """All that was found; products are numbers in ``catalogue``."""

    catalogue: AllSplits
    products: list[Product]  # without photos
    photos: PhotoPrints
    same_photo: list[tuple[int, ...]]
    near_photo: list[tuple[int, ...]]  # groups that are not in ``same_photo`` already
    same_text: list[tuple[int, ...]]
    across_splits: list[tuple[int, ...]]  # of the first two kinds, with products of several splits
    texts: dict[str, list[int]]
    tags: dict[str, dict[str, Any]]
    nulled: dict[str, dict[str, int]]
    bad_rows: dict[str, int]
    cut_after: int  # tokens
    alike_from: float | None = None  # cosine; None: without an encoder
    alike: list[tuple[int, int, float]] = field(default_factory=list)
    suspects: dict[str, list[Any]] = field(default_factory=dict)
    outliers: list[tuple[int, float]] = field(default_factory=list)
    mapped: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))  # products on the map
    places: np.ndarray = field(default_factory=lambda: np.empty((0, 2)))  # of these


def check_catalogue(
    catalogue: AllSplits,
    tokenizer: Any,
    *,
    encoder: Encoder | None = None,
    features: Path | None = None,
    seed: int = 0,
) -> Findings:
    """Looks for faults and surprises in all splits together.

    Args:
        catalogue: the splits.
        tokenizer: cuts the texts; has ``context_length``.
        encoder: finds photos alike, tags in doubt and outliers, and draws the map; None: none of these.
        features: vectors of `e2 embed` of the only split, instead of embedding the photos.
        seed: of the map, and of the products on it if there are too many.

    Raises:
        InputError: an unreadable photo, features of another encoder or catalogue, a package that is not installed.
    """
    products = list(without_photos(catalogue))
    mapped = chosen(len(catalogue), seed) if encoder else np.empty(0, np.int64)
    vectors = None if encoder is None else _vectors(encoder, catalogue, features)  # before any threads
    photos = fingerprints(catalogue, set(mapped.tolist()))
    same = equal_keys(photos.digests, photos.products)
    near = sorted({*close_photos(photos.hashes, photos.colours, photos.products)} - {*same})
    split_of = [catalogue.split_of(row) for row in range(len(catalogue))]
    found = Findings(
        catalogue,
        products,
        photos,
        same_photo=same,
        near_photo=near,
        same_text=equal_keys(
            (text_key(text) for product in products for text in product.captions),
            np.repeat(np.arange(len(products)), [len(product.captions) for product in products]),
        ),
        across_splits=[group for group in [*same, *near] if len({split_of[row] for row in group}) > 1],
        texts=text_faults([product.captions for product in products], tokenizer),
        tags={entity: tag_faults([product.tags.get(entity) for product in products]) for entity in catalogue.tags},
        nulled=_summed(getattr(part, "notes", {}) for part in catalogue.catalogues),
        bad_rows=_summed({"": getattr(part, "bad_rows", {})} for part in catalogue.catalogues).get("", {}),
        cut_after=tokenizer.context_length,
        mapped=mapped,
    )
    if encoder is not None and vectors is not None:
        _look(found, encoder, vectors, seed)
    return found


def _look(found: Findings, encoder: Encoder, vectors: np.ndarray, seed: int) -> None:
    """Adds what the vectors tell."""
    neighbours, scores = nearest_others(vectors, NEIGHBOURS)
    rows = np.sort(np.random.default_rng(seed).permutation(len(vectors))[:SAMPLE])
    images = ProductImages.first(found.catalogue, rows)
    found.alike_from = copy_likeness(encoder, [images[place] for place in range(len(images))], vectors[rows])
    told = in_groups([*found.same_photo, *found.near_photo])
    pairs = alike(neighbours, scores, found.alike_from)
    found.alike = [(a, b, score) for a, b, score in pairs if not told.get(a, set()) & told.get(b, set())]
    for entity in found.catalogue.tags:
        values = [product.values.get(entity, ()) for product in found.products]
        one_way = by_spelling(value for own in values for value in own)  # in two spellings is another fault
        values = [tuple(one_way[spelling(value)] for value in own) for own in values]
        found.suspects[entity] = suspects(values, neighbours, scores)
    found.outliers = outliers(scores)
    found.places = project(vectors[found.mapped], seed)


def outliers(scores: np.ndarray) -> list[tuple[int, float]]:
    """Rows that are far from all others, the farthest first, with the mean cosine of their nearest neighbours.

    Args:
        scores: (N, K) cosines of each row's neighbours, the nearest first.
    """
    if not scores.shape[1]:
        return []
    near = scores[:, :NEAREST].mean(axis=1)
    middle = np.median(near)
    deviation = 1.4826 * np.median(np.abs(near - middle))  # that of a normal distribution
    far = np.flatnonzero(near < middle - FAR_OUT * deviation)
    return [(int(row), float(near[row])) for row in far[np.argsort(near[far], kind="stable")]]


def _vectors(encoder: Encoder, catalogue: AllSplits, features: Path | None) -> np.ndarray:
    if features is None:
        return encoder.encode_images(ProductImages.first(catalogue))
    if len(catalogue.catalogues) > 1:
        raise InputError(f"--features {features} is of one split; name it by --split")
    return read_along(StoredProducts(features, encoder, FIRST_PHOTO), catalogue)(range(len(catalogue)))


def _summed(parts: Any) -> dict[str, dict[str, int]]:
    """Adds up counts of counts."""
    total: dict[str, dict[str, int]] = {}
    for part in parts:
        for what, counts in part.items():
            sums = total.setdefault(what, {})
            for value, count in counts.items():
                sums[value] = sums.get(value, 0) + count
    return total


def record_of(found: Findings, data: str, model: Mapping[str, Any] | None) -> dict[str, Any]:
    """JSON-able record of all findings; a product is ``[split, product_id]``."""
    name = [[found.catalogue.split_of(row), product.product_id] for row, product in enumerate(found.products)]

    def named(groups: Sequence[Sequence[int]]) -> list[list[list[str]]]:
        return [[name[row] for row in group] for group in groups]

    places = zip(found.mapped.tolist(), found.places.round(4).tolist(), strict=False)  # no places without an encoder
    return {
        "data": data,
        "model": None if model is None else dict(model),
        "splits": {part.split: len(part) for part in found.catalogue.catalogues},
        "products": len(found.products),
        "photos": len(found.photos.products),
        "bad_rows": found.bad_rows,
        "notes": found.nulled,
        "same_photo": named(found.same_photo),
        "near_duplicate_photo": named(found.near_photo),
        "same_text": named(found.same_text),
        "photo_in_several_splits": named(found.across_splits),
        "alike_from": found.alike_from,
        "alike": [[name[a], name[b], round(score, 4)] for a, b, score in found.alike],
        "texts": {"context_length": found.cut_after} | {k: [name[row] for row in rows] for k, rows in found.texts.items()},
        "tags": found.tags,
        "tag_suspects": {
            entity: [
                {"product": name[one.product], "given": one.given, "suggested": one.suggested, "margin": round(one.margin, 4)}
                for one in doubted
            ]
            for entity, doubted in found.suspects.items()
        },
        "outliers": [[name[row], round(score, 4)] for row, score in found.outliers],
        "map": [[*name[row], *place] for row, place in places],
    }

"""What is searched in: the vectors of a catalogue's photos or descriptions, computed, or those that `e2 embed` wrote."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from e2.adapters.embeddings.read import StoredVectors
from e2.adapters.encoder import Encoder
from e2.adapters.product_images import ProductImages
from e2.data.product import Catalogue, texts_only
from e2.errors import InputError

TARGETS = ("image", "text")


@dataclass(frozen=True)
class Gallery:
    """Vectors (G, D), one a row, and the product that each belongs to."""

    vectors: np.ndarray
    product_ids: list[str]


def gallery_of(encoder: Encoder, catalogue: Catalogue, target: str = "image") -> Gallery:
    """First photos, or first descriptions, of all products of a split.

    Raises:
        InputError: an unknown target, an empty split or an unreadable photo.
    """
    _check_target(target)
    light = texts_only(catalogue)
    ids = [light[row].product_id for row in range(len(light))]
    if target == "image":
        return Gallery(encoder.encode_images(ProductImages.first(catalogue)), ids)
    return Gallery(encoder.encode_texts([light[row].captions[0] for row in range(len(light))]), ids)


def read_index(path: str | Path, encoder: Encoder, target: str = "image") -> Gallery:
    """The vectors of one kind in a folder or file of `e2 embed`.

    Raises:
        InputError: not such a one, without vectors of that kind, or of another encoder.
    """
    _check_target(target)
    features = StoredVectors(path, encoder, target)
    vectors = np.empty((len(features), features.width), dtype=np.float32)
    product_ids: list[str] = []
    for ids, part in features.batches():
        vectors[len(product_ids) : len(product_ids) + len(ids)] = part
        product_ids += ids
    return Gallery(vectors, product_ids)


def _check_target(target: str) -> None:
    if target not in TARGETS:
        raise InputError(f"unknown target {target!r}; choose {' or '.join(TARGETS)}")

"""What is searched in: the vectors of a catalogue's photos or descriptions, computed, or read from `e2 embed`'s file."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from adapters.encoder import Encoder
from adapters.product_images import ProductImages
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
    """The vectors of one kind in a file of `e2 embed`.

    Raises:
        InputError: not such a file, without vectors of that kind, or of another encoder.
    """
    _check_target(target)
    try:
        table = pq.read_table(path, columns=["product_id", "vector"], filters=pc.field("kind") == target)
        made_by = json.loads((table.schema.metadata or {})[b"encoder"])
    except (OSError, KeyError, ValueError, pa.ArrowException) as error:
        raise InputError(f"{path} is no index: give the file that `e2 embed --out` wrote, or --data") from error
    if made_by.get("weights_sha256") != encoder.info["weights_sha256"]:
        raise InputError(f"{path} holds vectors of {made_by.get('path')}, not of {encoder.info['path']}; embed again with it")
    if not len(table):
        raise InputError(f"{path} holds no {target} vectors; write them by e2 embed --what {target}")
    vectors = table.column("vector").combine_chunks()
    width = vectors.type.list_size
    flat = vectors.flatten().to_numpy(zero_copy_only=False)
    return Gallery(flat.reshape(-1, width), table.column("product_id").to_pylist())


def _check_target(target: str) -> None:
    if target not in TARGETS:
        raise InputError(f"unknown target {target!r}; choose {' or '.join(TARGETS)}")

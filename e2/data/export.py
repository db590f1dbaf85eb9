"""Writes any catalogue as parquet tables, one per split, or as tar shards."""

import io
import itertools
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet
from PIL import Image

from e2.data.catalogue import ArrowCatalogue, Subset
from e2.data.columns import REGIONS, Columns
from e2.data.hub_stream import PREFIX, Stream, open_streams
from e2.data.product import Product, values_of
from e2.data.shard_writer import write_shards
from e2.data.shop.folder import IMPORT
from e2.data.sources import open_catalogue, splits_of
from e2.errors import InputError
from e2.files import output_folder
from e2.outputs import claim
from e2.progress import with_progress

FORMATS = ("parquet", "webdataset")
IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])  # as `datasets` writes it
ROWS_PER_GROUP = 1000  # so that a reader need not hold more images at once
PRODUCTS_PER_SHARD = 1000


def import_catalogue(
    spec: str,
    out: Path,
    *,
    tags: Sequence[str] | None = None,
    columns: Columns | None = None,
    on_bad_row: str = "error",
    to: str = "parquet",
    shard_size: int = PRODUCTS_PER_SHARD,
    overwrite: bool = False,
    progress: bool = True,
) -> dict[str, int]:
    """Writes a whole data source into ``out``, with the images inside, as their own bytes (Fashion-Gen's pixels as PNG).

    ``parquet``: ``SPLIT.parquet``, which Hugging Face ``datasets`` reads too, with the columns product_id, image, caption and
    one per entity (lists if a product has several), and regions (JSON) if known. ``webdataset``: ``SPLIT-000000.tar`` and so
    on, ``shard_size`` products each. Besides what `open_catalogue` takes, ``spec`` may be a stream, ``hf-stream:ORG/NAME``.

    Returns:
        Split -> number of products.

    Raises:
        InputError: what `open_catalogue` raises, an unknown ``to``, ``out`` exists without ``overwrite``, or it holds anything
            but an earlier import.
    """
    if to not in FORMATS:
        raise InputError(f"--to {to!r} is unknown; choose {' or '.join(FORMATS)}")
    out = Path(out)
    claim(out, IMPORT, overwrite=overwrite, remove=False)  # before any work is done
    options: dict[str, Any] = {"tags": tags, "columns": columns, "on_bad_row": on_bad_row, "progress": progress}
    splits: Mapping[str, ArrowCatalogue | Stream]
    if spec.startswith(PREFIX):
        splits = open_streams(spec, **options)
    else:
        splits = {split: open_catalogue(spec, split, **options) for split in splits_of(spec)}
    with output_folder(out, IMPORT, overwrite=overwrite) as folder:
        written = {}
        for split, products in splits.items():
            total = None if isinstance(products, Stream) else len(products)
            shown = with_progress(iter(products), f"writing {split}", total, progress)
            if to == "parquet":
                written[split] = write_parquet(folder / f"{split}.parquet", shown, products)
            else:
                written[split] = write_shards(folder, split, map(_with_lists, map(compact, shown)), shard_size)
    return written


def write_parquet(
    file: Path,
    shown: Iterable[Product],
    products: ArrowCatalogue | Subset | Stream,
    tags: Mapping[str, pa.DataType] | None = None,
) -> int:
    """Writes one split and returns the number of its products; columns hold lists if a product has several values.

    ``products``, the same as ``shown``, tell beforehand whether one has. Those of a stream cannot: their photos and captions
    become lists, and bars separate the values of their tags. ``tags`` are the types of the columns of tags, if they hold lists
    already.
    """
    several_images = several_captions = isinstance(products, Stream)
    listed: set[str] = set()  # entities of which a product has several values
    for product in () if isinstance(products, Stream) else products.text_only():
        several_images |= len(product.images) > 1
        several_captions |= len(product.captions) > 1
        listed |= _several(product)
    if tags is None:
        tags = {entity: pa.list_(pa.string()) if entity in listed else pa.string() for entity in products.tags}
        shown = (_with_lists(product, listed) for product in shown)
    schema = pa.schema(
        {"product_id": pa.string()}
        | {"image": pa.list_(IMAGE) if several_images else IMAGE}
        | {"caption": pa.list_(pa.string()) if several_captions else pa.string()}
        | {**tags, REGIONS: pa.string()}
    )
    shown, written = iter(shown), 0
    with pyarrow.parquet.ParquetWriter(file, schema) as writer:
        while group := list(itertools.islice(shown, ROWS_PER_GROUP)):
            rows = [_row(compact(product), several_images, several_captions) for product in group]
            writer.write_table(pa.Table.from_pylist(rows, schema))
            written += len(rows)
    return written


def _row(product: Product, several_images: bool, several_captions: bool) -> dict[str, Any]:
    images = [_contents(image) for image in product.images]
    return {
        "product_id": product.product_id,
        "image": images if several_images else images[0],
        "caption": product.captions if several_captions else product.captions[0],
        REGIONS: json.dumps(product.regions) if product.regions else None,
        **product.tags,
    }


def _several(product: Product) -> set[str]:
    """Entities of which a product has several values."""
    return {entity for entity, values in product.values.items() if len(values) > 1}


def _with_lists(product: Product, entities: Collection[str] | None = None) -> Product:
    """Same product with lists, which other programs read, in place of some entities' tags; None: of several values."""
    listed = _several(product) if entities is None else entities
    tags: dict[str, Any] = {e: list(values_of(tag)) if e in listed else tag for e, tag in product.tags.items()}
    return replace(product, tags=tags)


def _contents(image: bytes | Path) -> dict[str, Any]:
    if isinstance(image, bytes):
        return {"bytes": image, "path": None}
    return {"bytes": image.read_bytes(), "path": image.name}


def compact(product: Product) -> Product:
    """Packs images given as bare pixels (BMP) as PNG; others keep their bytes."""
    images = tuple(_packed(image) if isinstance(image, bytes) and image[:2] == b"BM" else image for image in product.images)
    return replace(product, images=images)


def _packed(bitmap: bytes) -> bytes:
    packed = io.BytesIO()
    with Image.open(io.BytesIO(bitmap), formats=["BMP"]) as image:
        image.save(packed, "PNG")
    return packed.getvalue()

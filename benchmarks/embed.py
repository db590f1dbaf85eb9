"""`e2 embed`: the vectors of a whole split as a parquet file, for anything that searches, clusters or plots.

Columns: ``product_id`` (string), ``kind`` (``image``, ``region`` or ``text``), ``index`` (which image or caption of the
product, from 0), ``entity`` (of a region, else null) and ``vector`` (fixed-size list of float32, L2-normalised). The file's
metadata names the encoder. Written in row groups, so memory stays flat however many products there are. With several
processes each encodes its share, and the main one writes.
"""

import itertools
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from adapters.encoder import Encoder
from benchmarks.items import Items, read_items
from e2.data.product import Catalogue
from e2.distributed import processes
from e2.errors import InputError
from e2.files import atomic_path

KINDS = ("image", "text", "region")
ROWS = 8192  # of a row group


def write_embeddings(
    encoder: Encoder,
    catalogue: Catalogue,
    out_path: str | Path,
    *,
    what: Sequence[str] = ("image", "text"),
    text: str = "caption",
    progress: bool = True,
) -> int:
    """Embeds all images and texts of a split, and the regions of an encoder that has them.

    Args:
        encoder: any.
        catalogue: one split.
        out_path: the parquet file; appears whole or not at all.
        what: any of ``image``, ``text`` and ``region``.
        text: ``caption`` or ``full``.
        progress: show progress bars.

    Returns:
        The number of rows written.

    Raises:
        InputError: unknown ``what`` or ``text``, no regions, an unreadable image, or a place that cannot be written.
    """
    unknown = set(what) - set(KINDS)
    if unknown or not what:
        raise InputError(f"cannot embed {', '.join(sorted(unknown)) or 'nothing'}; choose from {', '.join(KINDS)}")
    items = read_items(catalogue, text)
    metadata = {"encoder": json.dumps(encoder.info), "dataset": catalogue.name, "split": catalogue.split, "text": text}
    tables = _tables(encoder, items, what, progress)
    if not processes().is_main_process:
        return sum(map(len, tables))  # encodes its share of each table
    first = next(tables)
    with atomic_path(out_path) as temporary, pq.ParquetWriter(temporary, first.schema.with_metadata(metadata)) as writer:
        rows = 0
        for table in itertools.chain([first], tables):
            writer.write_table(table.replace_schema_metadata(metadata))
            rows += len(table)
    return rows


def _tables(encoder: Encoder, items: Items, what: Sequence[str], progress: bool) -> Iterator[pa.Table]:
    """Row group after row group: images, regions, texts."""
    if "image" in what:
        yield from _image_tables(encoder, items, progress)
    if "region" in what:
        yield from _region_tables(encoder, items, progress)
    if "text" in what:
        for start in range(0, len(items.texts), ROWS):
            rows = slice(start, start + ROWS)
            vectors = encoder.encode_texts(items.texts[rows], progress=progress)
            yield _table("text", _ids(items, items.text_products[rows]), items.text_indices[rows], vectors)


def _image_tables(encoder: Encoder, items: Items, progress: bool) -> Iterator[pa.Table]:
    start = 0
    for vectors in _joined(encoder.iterate_images(items.images, progress=progress)):
        rows = slice(start, start := start + len(vectors))
        yield _table("image", _ids(items, items.image_products[rows]), items.images.indices[rows], vectors)


def _region_tables(encoder: Encoder, items: Items, progress: bool) -> Iterator[pa.Table]:
    start = 0
    for vectors in _joined(encoder.iterate_images(items.images, regions=True, progress=progress)):  # (N, E, D)
        rows = slice(start, start := start + len(vectors))
        entities = list(encoder.tags) * len(vectors)
        ids = _ids(items, np.repeat(items.image_products[rows], len(encoder.tags)))
        indices = np.repeat(items.images.indices[rows], len(encoder.tags))
        yield _table("region", ids, indices, vectors.reshape(-1, vectors.shape[-1]), entities)


def _ids(items: Items, products: np.ndarray) -> list[str]:
    return [items.product_ids[product] for product in products]


def _joined(batches: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
    """Batches joined to ``ROWS`` rows or a little more."""
    waiting: list[np.ndarray] = []
    for batch in batches:
        waiting.append(batch)
        if sum(map(len, waiting)) >= ROWS:
            yield np.concatenate(waiting)
            waiting = []
    if waiting:
        yield np.concatenate(waiting)


def _table(
    kind: str, ids: Sequence[str], indices: np.ndarray, vectors: np.ndarray, entities: Sequence[str | None] | None = None
) -> pa.Table:
    columns = {
        "product_id": pa.array(ids, pa.string()),
        "kind": pa.array([kind] * len(vectors), pa.string()),
        "index": pa.array(indices, pa.int32()),
        "entity": pa.array(entities or [None] * len(vectors), pa.string()),
        "vector": pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), vectors.shape[1]),
    }
    return pa.table(columns)

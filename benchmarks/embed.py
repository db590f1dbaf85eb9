"""`e2 embed`: the vectors of a whole split as a parquet file, for anything that searches, clusters or plots.

Columns: ``product_id`` (string), ``kind`` (``image`` or ``text``), ``index`` (which image or caption of the product, from 0)
and ``vector`` (fixed-size list of float32, L2-normalised). The file's metadata names the encoder. Written in row groups, so
memory stays flat however many products there are.
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
from e2.errors import InputError
from e2.files import atomic_path

KINDS = ("image", "text")
ROWS = 8192  # of a row group


def write_embeddings(
    encoder: Encoder,
    catalogue: Catalogue,
    out_path: str | Path,
    *,
    what: Sequence[str] = KINDS,
    text: str = "caption",
    progress: bool = True,
) -> int:
    """Embeds all images and texts of a split.

    Args:
        encoder: any.
        catalogue: one split.
        out_path: the parquet file; appears whole or not at all.
        what: ``image``, ``text`` or both.
        text: ``caption`` or ``full``.
        progress: show progress bars.

    Returns:
        The number of rows written.

    Raises:
        InputError: unknown ``what`` or ``text``, an unreadable image, or a place that cannot be written.
    """
    unknown = set(what) - set(KINDS)
    if unknown or not what:
        raise InputError(f"cannot embed {', '.join(sorted(unknown)) or 'nothing'}; choose from {', '.join(KINDS)}")
    items = read_items(catalogue, text)
    metadata = {"encoder": json.dumps(encoder.info), "dataset": catalogue.name, "split": catalogue.split, "text": text}
    tables = _tables(encoder, items, what, progress)
    first = next(tables)
    with atomic_path(out_path) as temporary, pq.ParquetWriter(temporary, first.schema.with_metadata(metadata)) as writer:
        rows = 0
        for table in itertools.chain([first], tables):
            writer.write_table(table.replace_schema_metadata(metadata))
            rows += len(table)
    return rows


def _tables(encoder: Encoder, items: Items, what: Sequence[str], progress: bool) -> Iterator[pa.Table]:
    """Row group after row group, images first."""
    if "image" in what:
        start = 0
        for vectors in _joined(encoder.iterate_images(items.images, progress=progress)):
            rows = slice(start, start := start + len(vectors))
            yield _table("image", items.product_ids, items.image_products[rows], items.images.indices[rows], vectors)
    if "text" in what:
        for start in range(0, len(items.texts), ROWS):
            rows = slice(start, start + ROWS)
            vectors = encoder.encode_texts(items.texts[rows], progress=progress)
            yield _table("text", items.product_ids, items.text_products[rows], items.text_indices[rows], vectors)


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


def _table(kind: str, ids: list[str], products: np.ndarray, indices: np.ndarray, vectors: np.ndarray) -> pa.Table:
    columns = {
        "product_id": pa.array([ids[product] for product in products], pa.string()),
        "kind": pa.array([kind] * len(vectors), pa.string()),
        "index": pa.array(indices, pa.int32()),
        "vector": pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), vectors.shape[1]),
    }
    return pa.table(columns)

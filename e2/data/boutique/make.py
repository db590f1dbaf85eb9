"""Writes the boutique as a catalogue on disk: one parquet table per split, drawn by several processes."""

import contextlib
import json
import multiprocessing
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from rich.console import Console
from rich.progress import track

from e2.data.boutique.attributes import TAGS
from e2.data.boutique.product import BoutiqueProduct, draw_product
from e2.errors import InputError
from e2.files import atomic_folder

_ROWS = 500  # per row group, so that readers can take a table in pieces
Mapper = Callable[[Callable[[int], BoutiqueProduct], range], Iterable[BoutiqueProduct]]
_SCHEMA = pa.schema(
    [
        ("product_id", pa.string()),
        ("image", pa.struct([("bytes", pa.binary()), ("path", pa.string())])),  # Hugging Face convention
        ("caption", pa.string()),
        *((tag, pa.string()) for tag in TAGS),
        ("regions", pa.string()),  # JSON: entity -> [x0, y0, x1, y1]
    ]
)


def make_boutique(
    folder: Path,
    *,
    train: int = 4000,
    val: int = 300,
    test: int = 1000,
    seed: int = 0,
    size: int = 224,
    workers: int | None = None,
    progress: bool = True,
) -> None:
    """Draws the catalogue into ``folder`` as ``train.parquet``, ``val.parquet`` and ``test.parquet``.

    The bytes of a product depend on (seed, split, its index, size) only, not on the counts or on ``workers``
    (processes, all cores by default). The folder appears whole or not at all.

    Raises:
        InputError: a count is not positive, the size is below 32, the seed is negative, or the folder exists or
            cannot be written.
    """
    counts = {"train": train, "val": val, "test": test}
    for name, count in counts.items():
        if count < 1:
            raise InputError(f"boutique: {name}={count} products; each split needs at least 1")
    if size < 32:
        raise InputError(f"boutique: size={size} pixels is too small to draw; choose 32 or more")
    if seed < 0:
        raise InputError(f"boutique: seed={seed}; choose 0 or more")
    if Path(folder).exists():
        raise InputError(f"boutique: {folder} exists already; remove it or choose another folder")
    workers = min(workers or os.cpu_count() or 1, sum(counts.values()))
    with atomic_folder(folder) as temporary, _drawers(workers) as draw:
        for split, count in counts.items():
            products = _in_blocks(draw, partial(draw_product, split=split, seed=seed, size=size), count)
            if progress:
                products = track(products, f"drawing the boutique: {split}", total=count, console=Console(stderr=True))
            _write(temporary / f"{split}.parquet", products)


@contextlib.contextmanager
def _drawers(workers: int) -> Iterator[Mapper]:
    """A ``map`` that keeps the order, over so many processes."""
    if workers == 1:
        yield map
        return
    # Never a plain fork: the caller may hold threads (torch) that a child would inherit in a broken state. A fork
    # server is as safe as spawn and imports everything once instead of once per worker.
    method = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
    context = multiprocessing.get_context(method)
    if method == "forkserver":
        context.set_forkserver_preload([draw_product.__module__])
    executor = ProcessPoolExecutor(workers, mp_context=context)  # notices a killed worker, which a Pool does not
    try:
        yield partial(executor.map, chunksize=8)
    finally:
        executor.shutdown(cancel_futures=True)


def _in_blocks(draw: Mapper, one: Callable[[int], BoutiqueProduct], count: int) -> Iterator[BoutiqueProduct]:
    """Products in order; block by block, so that fast drawers do not fill the memory ahead of a slow disk."""
    for start in range(0, count, _ROWS):
        yield from draw(one, range(start, min(count, start + _ROWS)))


def _write(path: Path, products: Iterable[BoutiqueProduct]) -> None:
    with pq.ParquetWriter(path, _SCHEMA) as writer:
        rows: list[dict] = []
        for product in products:
            rows.append(_row(product))
            if len(rows) == _ROWS:
                writer.write_table(pa.Table.from_pylist(rows, schema=_SCHEMA))
                rows = []
        if rows:
            writer.write_table(pa.Table.from_pylist(rows, schema=_SCHEMA))


def _row(product: BoutiqueProduct) -> dict:
    return {
        "product_id": product.product_id,
        "image": {"bytes": product.image, "path": None},
        "caption": product.caption,
        **product.tags,
        "regions": json.dumps(product.regions),
    }

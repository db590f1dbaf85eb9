"""Any catalogue as parquet tables, one file a split, that `e2.data.tables` and Hugging Face `datasets` read."""

import itertools
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet
from rich.console import Console
from rich.progress import track

from e2.data.catalogue import ArrowCatalogue
from e2.data.columns import REGIONS, Columns
from e2.data.product import Product
from e2.data.sources import open_catalogue, splits_of
from e2.errors import InputError
from e2.files import atomic_folder

IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])  # as `datasets` writes it
ROWS_PER_GROUP = 1000  # so that a reader need not hold more images at once


def import_catalogue(
    spec: str,
    out: Path,
    *,
    tags: Sequence[str] | None = None,
    columns: Columns | None = None,
    on_bad_row: str = "error",
    overwrite: bool = False,
    progress: bool = True,
) -> dict[str, int]:
    """Writes ``out/SPLIT.parquet`` for each split of a data source, with the images inside, as their own bytes.

    Columns: product_id, image and caption (lists where a product has several), one per entity, and regions (JSON)
    where they are known.

    Returns:
        Split -> number of products.

    Raises:
        InputError: what `open_catalogue` raises, ``out`` is there already and ``overwrite`` is not given, or it holds
            anything but the tables of an earlier import.
    """
    out = Path(out)
    if out.exists() and not overwrite:
        raise InputError(f"{out} is there already; choose another --out, or replace it by --overwrite")
    if out.exists() and not (out.is_dir() and all(path.suffix == ".parquet" for path in out.iterdir())):
        raise InputError(f"--out {out} holds other things than an import's tables; choose another --out")
    options = {"tags": tags, "columns": columns, "on_bad_row": on_bad_row, "progress": progress}
    catalogues = {split: open_catalogue(spec, split, **options) for split in splits_of(spec)}
    with atomic_folder(out) as folder:
        for split, catalogue in catalogues.items():
            _write_parquet(folder / f"{split}.parquet", catalogue, progress)
        if out.exists():
            shutil.rmtree(out)
    return {split: len(catalogue) for split, catalogue in catalogues.items()}


def _write_parquet(file: Path, catalogue: ArrowCatalogue, progress: bool) -> None:
    several_images = any(len(product.images) > 1 for product in catalogue.text_only())
    several_captions = any(len(product.captions) > 1 for product in catalogue.text_only())
    tags = dict.fromkeys([*catalogue.tags, REGIONS], pa.string())
    schema = pa.schema(
        {"product_id": pa.string()}
        | {"image": pa.list_(IMAGE) if several_images else IMAGE}
        | {"caption": pa.list_(pa.string()) if several_captions else pa.string()}
        | tags
    )
    console = Console(stderr=True)
    bar = track(catalogue, f"writing {catalogue.split}", console=console, transient=True, disable=not progress)
    products = iter(bar)
    with pyarrow.parquet.ParquetWriter(file, schema) as writer:
        while group := list(itertools.islice(products, ROWS_PER_GROUP)):
            rows = [_row(product, several_images, several_captions) for product in group]
            writer.write_table(pa.Table.from_pylist(rows, schema))


def _row(product: Product, several_images: bool, several_captions: bool) -> dict[str, Any]:
    images = [_contents(image) for image in product.images]
    return {
        "product_id": product.product_id,
        "image": images if several_images else images[0],
        "caption": product.captions if several_captions else product.captions[0],
        REGIONS: json.dumps(product.regions) if product.regions else None,
        **product.tags,
    }


def _contents(image: bytes | Path) -> dict[str, Any]:
    if isinstance(image, bytes):
        return {"bytes": image, "path": None}
    return {"bytes": image.read_bytes(), "path": image.name}

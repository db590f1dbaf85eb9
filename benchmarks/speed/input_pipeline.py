"""Measures whether photos are decoded as fast as a model trains: JPEG tables and tar shards, at 224 px.

A sleep as long as the model's step replaces it, so that a GPU can be simulated. Speeds per core are per second of processor
time, which other programs disturb little.
"""

import io
import math
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from PIL import Image

from e2.benchmarks.speed.harness import compare
from e2.data import ArrowCatalogue, load_image, open_catalogue
from e2.data.decoders import PILLOW
from e2.data.export import import_catalogue
from e2.data.loader import StepSampler, TrainingViews, training_loader
from e2.data.transforms import PhotoTransform, training_transform
from e2.factory import create_model_and_transforms, get_tokenizer

BACKBONE = "e2-nano"  # provides mean colours and a tokenizer, like any other
SIZE = 224  # of the model's input
WIDTH, HEIGHT = 384, 512  # of the photos: 3:4, as in shops
ASSUMED_IMAGES_PER_SECOND = 2000  # of training ViT-B/32 on one GPU; `train-step` measures it for a given GPU
MOST_WAITING = 0.05  # largest share of time waiting for a loader that keeps up
TIMED = 200  # photos for the single-process measurements


def run(
    images: int = 4096,
    workers: int = 2,
    *,
    model_images_per_second: float = ASSUMED_IMAGES_PER_SECOND,
    batch_size: int = 128,
) -> dict[str, Any]:
    """Measures a table and shards of the same generated photos.

    Args:
        images: photos in each, at least two batches.
        workers: processes that decode.
        model_images_per_second: simulated speed of the model.
        batch_size: photos per step.

    Returns:
        For ``table`` and ``shards`` each: ``images_per_core_second``; ``cores_needed`` to feed the model; beside the sleeping
        model, after its first batch, ``images_per_second``, ``waiting`` (share of the time) and ``keeps_up``. Besides
        ``loader_to_bare_ratio``: time of a training view / time to only decode and transform the same photo, in one
        process; ``shards_to_table_ratio``: time of a view from shards / from the table; and the sizes in pixels.
    """
    torch.set_num_threads(1)
    change = transform()
    with tempfile.TemporaryDirectory() as folder:
        catalogues = make_catalogues(Path(folder), images)
        views = {
            kind: TrainingViews(catalogue, change, (), text="caption", prompt="{tag}", seed=0)
            for kind, catalogue in catalogues.items()
        }
        table, shards = (lambda kind=kind: see(views[kind]) for kind in ("table", "shards"))
        bare = compare(table, lambda: decode(catalogues["table"], change))
        kinds = compare(shards, table)
        found = {kind: measure(view, workers, batch_size, model_images_per_second) for kind, view in views.items()}
    ratios = {"loader_to_bare_ratio": bare["ratio"], "shards_to_table_ratio": kinds["ratio"]}
    return {"photo_size": [WIDTH, HEIGHT], "model_size": SIZE, **ratios, **found}


def make_catalogues(folder: Path, images: int) -> dict[str, ArrowCatalogue]:
    """Writes the same products as a parquet table and as shards."""
    rows = [
        {"product_id": str(i), "image": photo(i, WIDTH, HEIGHT), "caption": f"A garment, number {i}"} for i in range(images)
    ]
    pq.write_table(pa.Table.from_pylist(rows), folder / "train.parquet")
    import_catalogue(str(folder / "train.parquet"), folder / "shards", to="webdataset", progress=False)
    specs = {"table": str(folder / "train.parquet"), "shards": f"webdataset:{folder / 'shards'}"}
    return {kind: open_catalogue(spec, "train", progress=False) for kind, spec in specs.items()}


def photo(seed: int, width: int, height: int) -> bytes:
    """Makes a JPEG of soft shapes with some noise, about as large in bytes as a shop's photo of these dimensions."""
    random = np.random.default_rng(seed)
    coarse = Image.fromarray(random.integers(0, 256, (12, 9, 3), dtype=np.uint8))
    shapes = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC))
    pixels = np.clip(shapes + random.normal(0, 6, (height, width, 1)), 0, 255).astype(np.uint8)
    contents = io.BytesIO()
    Image.fromarray(pixels).save(contents, "JPEG", quality=85)
    return contents.getvalue()


def transform(decoder: str = PILLOW) -> PhotoTransform:
    """Builds training's own transform at the model's size."""
    visual = create_model_and_transforms(BACKBONE)[0].visual
    visual.preprocess_cfg = {**visual.preprocess_cfg, "size": (SIZE, SIZE)}
    return training_transform(visual, "light", decoder)


def see(views: TrainingViews) -> None:
    """Makes training views of the first products, in this process."""
    for index in range(min(TIMED, len(views))):
        views[(0, index)]


def decode(catalogue: ArrowCatalogue, change: Callable) -> None:
    """Decodes and transforms the same photos, and nothing else."""
    for index in range(min(TIMED, len(catalogue))):
        change(load_image(catalogue[index].images[0]))


def measure(views: TrainingViews, workers: int, batch_size: int, model_images_per_second: float) -> dict[str, Any]:
    """Measures a core's decoding speed, and the loader beside the sleeping model."""
    start = time.process_time()
    see(views)
    a_core = min(TIMED, len(views)) / (time.process_time() - start)
    sampler = StepSampler(len(views), batch_size, start=0, stop=len(views) // batch_size, seed=0)
    loader = training_loader(views, sampler, get_tokenizer(BACKBONE), workers=workers, pin_memory=False)
    waited, worked = waiting_and_working(loader, batch_size / model_images_per_second)
    steps = len(sampler) - 1
    return {
        "images_per_core_second": a_core,
        "cores_needed": math.ceil(model_images_per_second / a_core),
        "images_per_second": steps * batch_size / (waited + worked),
        "waiting": waited / (waited + worked),
        "keeps_up": waited <= MOST_WAITING * (waited + worked),
    }


def waiting_and_working(batches: Iterable, step_seconds: float) -> tuple[float, float]:
    """Seconds that a model of the given step would wait and work, after its first batch."""
    waited, worked, batches = 0.0, 0.0, iter(batches)
    next(batches)  # processes start only now
    asked = time.perf_counter()
    for _ in batches:
        got = time.perf_counter()
        time.sleep(step_seconds)
        waited, worked, asked = waited + got - asked, worked + time.perf_counter() - got, time.perf_counter()
    return waited, worked

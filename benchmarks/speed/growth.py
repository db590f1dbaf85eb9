"""Measures time and memory of embedding and evaluation as the catalogue grows, for `e2 speed growth`.

Embedding runs `e2 embed` itself over repeated photos; evaluation ranks a fixed number of images among ever more random texts,
and these among the images. Both should take linear time, and no more memory than the features. (All products against all
products is quadratic: see `retrieval`.)
"""

import io
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure  # drawn without pyplot: no window, no global state
from PIL import Image

from e2.adapters.embeddings.write import write_embeddings
from e2.adapters.encoder import load_encoder
from e2.benchmarks.speed.harness import nothing, peak_memory, random_unit, seconds, work_on_features
from e2.benchmarks.speed.retrieval import rank
from e2.data.product import Product
from e2.files import atomic_path

SIZES = (1_000, 10_000, 100_000, 1_000_000)
PHOTOS = 16  # distinct ones
PICTURE = "growth.svg"


def run(
    *, sizes: Sequence[int] = SIZES, most_photos: int = 10_000, queries: int = 1000, width: int = 512, repeats: int = 3
) -> dict[str, Any]:
    """Measures memory of each size in a process of its own, and time in this one (the minimum of ``repeats``).

    Up to ``most_photos`` products are embedded; ``queries`` images are ranked, whatever the number of texts.

    Returns:
        ``embed`` and ``evaluate``: for each size ``products``, ``seconds``, ``per_product_us`` and ``beyond_features_bytes``
        (peak minus that of the same process without products); ``embed_per_product_ratio`` and ``evaluate_per_product_ratio``:
        time per product at the largest size / at the one before, 1 for linear growth.
    """
    threads = torch.get_num_threads()
    embedded, evaluated = [], []
    for size in sizes:
        if size <= most_photos:
            time = seconds(partial(embed, size, threads))
            embedded.append(point(size, time, peak_memory(embed, size, threads) - peak_memory(embed, PHOTOS, threads)))
        features = random_unit(queries, width), random_unit(size, width)
        time = min(seconds(partial(rank, *features)) for _ in range(repeats))  # other programs can only add to it
        del features
        sizes_of_both = queries, size, width, threads
        made, ranked = (peak_memory(work_on_features, work, *sizes_of_both) for work in (nothing, rank))
        evaluated.append(point(size, time, ranked - made))
    points = {"embed": embedded, "evaluate": evaluated}
    times = {name: [one["per_product_us"] for one in found] for name, found in points.items()}
    ratios = {f"{name}_per_product_ratio": each[-1] / each[-2] if len(each) > 1 else 1.0 for name, each in times.items()}
    return {**ratios, **points}


def point(products: int, time: float, beyond: int) -> dict[str, float]:
    return {"products": products, "seconds": time, "per_product_us": 1e6 * time / products, "beyond_features_bytes": beyond}


@dataclass(frozen=True)
class Repeated:
    """A catalogue that repeats a few photos under new ids."""

    photos: list[bytes]
    products: int
    name: str = "repeated"
    split: str = "test"
    tags: tuple[str, ...] = ()

    def __len__(self) -> int:
        return self.products

    def __getitem__(self, index: int) -> Product:
        return Product(str(index), [self.photos[index % len(self.photos)]], (f"A garment, number {index}",))


def embed(products: int, threads: int) -> None:
    """Runs `e2 embed` with our smallest backbone, to a temporary file."""
    torch.set_num_threads(threads)
    encoder = load_encoder("open_clip:e2-nano", device="cpu", workers=0)
    photos = [noise_photo(seed) for seed in range(PHOTOS)]
    with tempfile.TemporaryDirectory() as folder:
        write_embeddings(encoder, Repeated(photos, products), Path(folder) / "embeddings.parquet", progress=False)


def noise_photo(seed: int) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (96, 72, 3), dtype=np.uint8)
    contents = io.BytesIO()
    Image.fromarray(pixels).save(contents, "JPEG")
    return contents.getvalue()


def draw(found: dict[str, Any], path: Path) -> None:
    """Draws both quantities over the number of products, on logarithmic axes."""
    figure = Figure(figsize=(8, 3.2), layout="constrained")
    time, memory = figure.subplots(1, 2)
    for name in ("embed", "evaluate"):
        products = [p["products"] for p in found[name]]
        time.loglog(products, [p["seconds"] for p in found[name]], "o-", label=name)
        memory.semilogx(products, [p["beyond_features_bytes"] / 1e6 for p in found[name]], "o-", label=name)
    time.set(xlabel="products", ylabel="seconds", title="time")
    memory.set(xlabel="products", ylabel="MB beyond the features", title="memory", ylim=(0, None))
    for axes in (time, memory):
        axes.grid(alpha=0.3)
        axes.legend()
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="svg", metadata={"Date": None})

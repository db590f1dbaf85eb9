"""Measures whether a query's photo finds more by three views (`photos+views`) than as it is, on photos as shoppers take them.

Queries are test photos, changed in five ways; the index holds one vector of each photo as it is. See README.md.

python query_views.py INDEX MODEL TEST.parquet --out query-views.json
"""

import argparse
import io
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageEnhance, ImageOps

from e2.adapters.encoder import load_encoder
from e2.adapters.product_vector import ProductVector
from e2.adapters.search.index import open_index
from e2.benchmarks.core.bootstrap import Measure, interval, resampled_means
from e2.data import open_catalogue
from e2.data.images import load_image
from e2.version import __version__

ALIKE = ("sub_category", "colour")  # a hit of the product's kind and colour is a good one
TOP, AT_ONCE = 10, 4


def cropped(photo: Image.Image, rng: np.random.Generator) -> Image.Image:
    """A random part of 70 % of each side."""
    width, height = round(0.7 * photo.width), round(0.7 * photo.height)
    left, top = int(rng.integers(photo.width - width + 1)), int(rng.integers(photo.height - height + 1))
    return photo.crop((left, top, left + width, top + height))


def mirrored(photo: Image.Image, rng: np.random.Generator) -> Image.Image:
    return ImageOps.mirror(photo)


def dimmed(photo: Image.Image, rng: np.random.Generator) -> Image.Image:
    return ImageEnhance.Brightness(photo).enhance(0.4)


def compressed(photo: Image.Image, rng: np.random.Generator) -> Image.Image:
    file = io.BytesIO()
    photo.save(file, "JPEG", quality=30)
    return Image.open(io.BytesIO(file.getvalue()))


def on_background(photo: Image.Image, rng: np.random.Generator) -> Image.Image:
    """The photo at 60 % of its size on a coloured, uneven ground."""
    ground = Image.fromarray(rng.integers(40, 220, (4, 4, 3), dtype=np.uint8)).resize(photo.size, Image.Resampling.BICUBIC)
    small = photo.resize((round(0.6 * photo.width), round(0.6 * photo.height)))
    left, top = (int(rng.integers(whole - part + 1)) for whole, part in zip(photo.size, small.size, strict=True))
    ground.paste(small, (left, top))
    return ground


CHANGES: dict[str, Callable[[Image.Image, np.random.Generator], Image.Image]] = {
    "cropped": cropped,
    "mirrored": mirrored,
    "dimmed": dimmed,
    "jpeg 30": compressed,
    "background": on_background,
}


def scores(queries: np.ndarray, vectors: np.ndarray, rows: np.ndarray, alike: np.ndarray) -> np.ndarray:
    """(Q, 3): own product first, among the first ten, and share of the ten nearest others that are of its kind, in percent."""
    cosines = queries @ vectors.T
    own = cosines[np.arange(len(rows)), rows]
    rank = (cosines > own[:, None]).sum(axis=1)
    cosines[np.arange(len(rows)), rows] = -np.inf
    nearest = np.argsort(-cosines, axis=1)[:, :TOP]
    good = alike[rows[:, None], nearest].mean(axis=1)
    return 100 * np.stack([rank < 1, rank < TOP, good], axis=1)


def result(found: dict[str, list[np.ndarray]], rows: list[int]) -> dict[str, Any]:
    """Means and paired differences of views, over products."""
    names = ("own_R@1", "own_R@10", "kind_and_colour_P@10")
    told: dict[str, Any] = {}
    for change in [*CHANGES, "all"]:
        picked = slice(None) if change == "all" else list(CHANGES).index(change)
        plain, views = (np.array(found[rule])[:, picked].reshape(-1, 3) for rule in ("plain", "views"))
        owners = np.repeat(rows, len(plain) // len(rows))
        measured = {"plain": plain, "views": views, "views - plain": views - plain}
        told[change] = {"queries": len(plain)}
        for rule, values in measured.items():
            drawn = resampled_means([Measure(values, owners)])
            told[change][rule] = {
                name: {"mean": float(values[:, i].mean()), "ci95": interval(drawn[:, i])} for i, name in enumerate(names)
            }
    return told


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("index", "model", "table"):
        parser.add_argument(name)
    parser.add_argument("--count", type=int, default=60)
    parser.add_argument("--out", type=Path, required=True)
    asked = parser.parse_args()
    began = time.perf_counter()
    products = open_catalogue(asked.table, tags=ALIKE, progress=False)
    encoder = load_encoder(asked.model, batch_size=AT_ONCE, workers=0)
    index = open_index(asked.index)
    vectors = index.vectors([product.product_id for product in products.text_only()])
    tags = np.array(["|".join(product.tags.get(name, "") for name in ALIKE) for product in products.text_only()])
    alike = tags[:, None] == tags[None]
    rows = np.random.default_rng(0).permutation(len(products))[: asked.count].tolist()
    found: dict[str, list[np.ndarray]] = {"plain": [], "views": []}
    for number, row in enumerate(rows):
        rng = np.random.default_rng([22, row])
        photo = load_image(products[row].images[0])
        changed: Any = [change(photo, rng) for change in CHANGES.values()]
        plain = encoder.encode_images(changed, progress=False)
        views = ProductVector(views=True).of_photos(encoder, changed, False, whole=plain)
        own = np.full(len(changed), row)
        for rule, queries in (("plain", plain), ("views", views)):
            found[rule].append(scores(queries, vectors, own, alike))
        if number % 10 == 9 or number + 1 == len(rows):
            results = result(found, rows[: number + 1])
            record = {"products": len(products), "photos": number + 1, "changes": list(CHANGES), "results": results}
            record |= {"model": {name: encoder.info[name] for name in ("weights_sha256", "method", "backbone")}}
            record |= {"seconds": time.perf_counter() - began, "version": __version__}
            asked.out.write_text(json.dumps(record, indent=2) + "\n")
            print(number + 1, json.dumps(results["all"]), flush=True)


if __name__ == "__main__":
    main()

"""Measures `e2 data check` on a large catalogue with planted faults: time of each part, peak memory, and what was found.

Vectors are those of `index_vectors`, written as `e2 embed` writes them; photos are small random textures. The encoder is a
stand-in that only knows how alike copies are, as encoding a million photos is no part of the check with ``--features``.

python check_million.py --products 1000000 --place DIR --out check.json
"""

import argparse
import contextlib
import io
import json
import resource
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from e2.benchmarks.catalogue import check as checking
from e2.benchmarks.catalogue.page import write_check_page
from e2.benchmarks.catalogue.splits import AllSplits
from e2.benchmarks.speed import index_vectors
from e2.data import open_catalogue
from e2.files import write_json
from e2.version import __version__

WIDTH, SIDE, SMALLER, CATEGORIES, FAULTS = 128, 48, 36, 50, 1000
KINDS = ("same photo", "smaller photo", "alike vector", "wrong category", "outlier")  # FAULTS products each, the first ones
LIKENESS, TWINS = 0.95, 0.99  # cosine of a photo's copies, and of the vectors that are planted twice
PARTS = ("fingerprints", "close_photos", "text_faults", "nearest_others", "alike", "suspects", "project")  # timed


def fault(row: int) -> str:
    """Kind of fault that a product has; those after the first ones have none."""
    return KINDS[row // FAULTS] if row < FAULTS * len(KINDS) else ""


def texture(row: int) -> Image.Image:
    """Random picture, the same for a row each time."""
    fields = np.random.default_rng([2, row]).integers(0, 256, (5, 5, 3), dtype=np.uint8)
    return Image.fromarray(fields).resize((SIDE, SIDE), Image.Resampling.BICUBIC)


def jpeg(photo: Image.Image, quality: int = 90) -> bytes:
    file = io.BytesIO()
    photo.save(file, "JPEG", quality=quality, subsampling=0)
    return file.getvalue()


def photo_of(row: int) -> bytes:
    """Photo of a product; of two kinds of faults, that of the product ten thousand rows further on, or nearly."""
    if fault(row) == "same photo":
        return jpeg(texture(row + index_vectors.BLOCK))
    if fault(row) == "smaller photo":
        return jpeg(texture(row + index_vectors.BLOCK).resize((SMALLER, SMALLER), Image.Resampling.LANCZOS), 80)
    return jpeg(texture(row))


def near(vectors: np.ndarray, likeness: float, rng: np.random.Generator) -> np.ndarray:
    """Unit vectors of about that cosine to the given ones (N, D)."""
    noise = rng.standard_normal(vectors.shape, dtype=np.float32)
    noise *= np.sqrt(1 / likeness**2 - 1) / np.linalg.norm(noise, axis=1, keepdims=True)
    mixed = vectors + noise
    return mixed / np.linalg.norm(mixed, axis=1, keepdims=True)


def vectors_of(number: int, count: int) -> np.ndarray:
    """Vectors of a block's products, with the planted ones."""
    vectors, rng = index_vectors.block(number, WIDTH)[:count], np.random.default_rng(3)
    kinds = np.array([fault(row) for row in range(number * index_vectors.BLOCK, number * index_vectors.BLOCK + count)])
    if (twins := kinds == "alike vector").any():
        vectors[twins] = near(index_vectors.block(number + 1, WIDTH)[:count][twins], TWINS, rng)
    if (out := kinds == "outlier").any():
        far = rng.standard_normal((int(out.sum()), WIDTH), dtype=np.float32)
        vectors[out] = far / np.linalg.norm(far, axis=1, keepdims=True)
    return vectors


def write(place: Path, products: int) -> None:
    """Writes the table, in parts, and the vectors."""
    (place / "catalogue").mkdir(parents=True)
    info = json.dumps({"path": "stand-in", "weights_sha256": "stand-in"})
    settings = {"encoder": info, "what": "image", "dataset": "catalogue", "split": "train"}
    schema = pa.schema(
        [("product_id", pa.string()), ("kind", pa.string()), ("index", pa.int32()), ("vector", pa.list_(pa.float32(), WIDTH))],
        metadata=settings,
    )
    blocks = -(-products // index_vectors.BLOCK)
    centres = index_vectors._centres(WIDTH)
    with pq.ParquetWriter(place / "features.parquet", schema) as features:
        for number in range(blocks):
            rows = range(number * index_vectors.BLOCK, min(products, (number + 1) * index_vectors.BLOCK))
            vectors = vectors_of(number, len(rows))
            group = (vectors @ (centres / np.linalg.norm(centres, axis=1, keepdims=True)).T).argmax(axis=1) % CATEGORIES
            wrong = np.array([fault(row) == "wrong category" for row in rows])
            group = np.where(wrong, (group + 7) % CATEGORIES, group)
            ids = pa.array([f"p{row}" for row in rows])
            flat = pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), WIDTH)
            kind, index = pa.array(["image"] * len(rows)), pa.array(np.zeros(len(rows), np.int32))
            features.write_table(pa.table([ids, kind, index, flat], schema=schema), row_group_size=8192)
            tags = [index_vectors.tags(row, products) for row in rows]
            told = [
                f"Garment {row} of line {tag['line']} in {tag['colour']} by {tag['brand']}"
                for row, tag in zip(rows, tags, strict=True)
            ]
            table = {"product_id": ids, "image": [{"bytes": photo_of(row)} for row in rows], "caption": told}
            table |= {"category": [f"category {one}" for one in group.tolist()], "brand": [tag["brand"] for tag in tags]}
            pq.write_table(pa.table(table), place / "catalogue" / f"train-{number:05d}-of-{blocks:05d}.parquet")


class StandIn:
    """Encoder whose copies of photos have a known cosine to them."""

    def __init__(self, vectors: Any):
        self.info = {"path": "stand-in", "weights_sha256": "stand-in"}
        self._vectors = vectors

    def encode_images(self, photos: Any, progress: bool = True) -> np.ndarray:
        """Vectors of the copies that `copy_likeness` makes."""
        return near(self._vectors(len(photos)), LIKENESS, np.random.default_rng(4))


class Spent:
    """Time of parts, in seconds of the clock and of all processors, as a busy machine gives few of them."""

    def __init__(self) -> None:
        self.of: dict[str, dict[str, float]] = {}

    @contextlib.contextmanager
    def on(self, name: str) -> Iterator[None]:
        clock, cpu = time.perf_counter(), time.process_time()
        yield
        took = {"seconds": time.perf_counter() - clock, "cpu_seconds": time.process_time() - cpu}
        self.of[name] = {kind: seconds + self.of.get(name, {}).get(kind, 0.0) for kind, seconds in took.items()}

    def timed(self, name: str, function: Any) -> Any:
        """Same function, timed."""

        def wrapped(*args: Any, **options: Any) -> Any:
            with self.on(name):
                return function(*args, **options)

        return wrapped


def sampled(products: int, count: int) -> np.ndarray:
    """Vectors of the products whose photos are copied for the threshold."""
    rows = np.sort(np.random.default_rng(0).permutation(products)[:count])
    return np.stack([vectors_of(row // index_vectors.BLOCK, index_vectors.BLOCK)[row % index_vectors.BLOCK] for row in rows])


def found_of(record: dict[str, Any]) -> dict[str, int]:
    """Planted faults of each kind that the record names."""
    pairs = {"same photo": record["same_photo"], "smaller photo": record["near_duplicate_photo"]}
    pairs |= {"alike vector": [pair[:2] for pair in record["alike"]]}
    named: dict[str, set[int]] = {kind: set() for kind in KINDS}
    for kind, groups in pairs.items():
        for group in groups:
            rows = {int(product[1][1:]) for product in group}
            named[kind] |= {row for row in rows if fault(row) == kind and row + index_vectors.BLOCK in rows}
    doubted = {int(one["product"][1][1:]) for one in record["tag_suspects"]["category"]}
    named["wrong category"] = {row for row in doubted if fault(row) == "wrong category"}
    named["outlier"] = {row for (_, name), _ in record["outliers"] if fault(row := int(name[1:])) == "outlier"}
    return {kind: len(rows) for kind, rows in named.items()}


def checked(place: Path, products: int, spent: Spent) -> dict[str, Any]:
    """Checks the catalogue; returns the record."""
    with spent.on("whole"):
        with spent.on("open_catalogue"):
            split = open_catalogue(str(place / "catalogue"), "train", tags=["category", "brand"], on_bad_row="skip")
        for name in PARTS:
            setattr(checking, name, spent.timed(name, getattr(checking, name)))
        encoder: Any = StandIn(partial(sampled, products))
        tokenizer = open_clip.get_tokenizer("ViT-B-32")
        features = place / "features.parquet"
        found = checking.check_catalogue(AllSplits([split]), tokenizer, encoder=encoder, features=features)
        record = checking.record_of(found, "catalogue", encoder.info)
        write_json(place / "check.json", record)
        write_check_page(place / "index.html", found, "stand-in")
    return record


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--products", type=int, default=1_000_000)
    parser.add_argument("--place", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    asked = parser.parse_args()
    if not (asked.place / "features.parquet").exists():
        write(asked.place, asked.products)
    spent = Spent()
    record = checked(asked.place, asked.products, spent)
    counts = {name: len(record[name]) for name in ("same_photo", "near_duplicate_photo", "same_text", "alike", "outliers")} | {
        "tag_suspects": {entity: len(doubted) for entity, doubted in record["tag_suspects"].items()}
    }
    answer = {
        "products": asked.products,
        "width": WIDTH,
        "spent": {name: {kind: round(took, 1) for kind, took in each.items()} for name, each in spent.of.items()},
        "peak_bytes": 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
        "planted_of_each": FAULTS,
        "found": found_of(record),
        "told": counts,
        "bytes_of_check_json": (asked.place / "check.json").stat().st_size,
        "bytes_of_page": (asked.place / "index.html").stat().st_size,
        "version": __version__,
    }
    asked.out.write_text(json.dumps(answer, indent=2) + "\n")
    print(json.dumps(answer, indent=1))


if __name__ == "__main__":
    main()

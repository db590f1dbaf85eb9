"""Measures the vector of a product of several photos against its first photo's.

Queries are a further photo of the product, which is not in its vector, and its description. See README.md.

python measure.py drawn MODEL --out drawn.json
python measure.py listings:TABLE.parquet MODEL --out listings.json
"""

import argparse
import io
import json
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import torch
from PIL import Image

from e2.adapters.encoder import load_encoder
from e2.adapters.unit_vectors import normalised
from e2.benchmarks.core.bootstrap import Measure, interval, resampled_means
from e2.data.boutique.attributes import sample_design
from e2.data.boutique.light import sample_light
from e2.data.boutique.palette import jittered, mix, roles
from e2.data.boutique.photo import photograph
from e2.data.boutique.scene import patch_for, pose_for, rasterise
from e2.data.boutique.silhouettes import draw
from e2.data.boutique.words import describe
from e2.ranks import query_ranks
from e2.version import __version__

PHOTOS = 4  # the query's, then those of the product
FIRST = "1 of the photos"
SAME = ("caption", "colour", "sub_category", "category", "gender", "season", "year", "usage", "brand")  # within a listing
Photographed = tuple[str, list[Image.Image]]  # description and photos of a product


def drawn() -> Iterator[Photographed]:
    """Drawn products: the same garment and dye, each time in a new pose, light and background."""
    for index in range(1_000_000):
        rng = np.random.default_rng((22, index))
        design = sample_design(rng, "test")
        caption, drawing = describe(design, rng), draw(design, rng)
        cloth, partner = jittered(design.colour, rng), jittered(design.partner, rng)
        tones = roles(cloth, partner, design.metal, mix("#efe4cf", cloth, 0.04), "#f3efe6")
        photos = []
        for number in range(PHOTOS):
            rng = np.random.default_rng((22, index, number))
            pose = pose_for(design, drawing, rng)
            buffers = rasterise(drawing, pose, patch_for(design, drawing, pose, rng), design, tones, 224)
            photos.append(photograph(buffers, pose, design, cloth, sample_light(rng), rng))
        yield caption, photos


def listings(table: str) -> Iterator[Photographed]:
    """Rows of a table that agree in name and all tags, as photos of one product."""
    rows = pq.read_table(table).to_pylist()
    groups: dict[tuple, list[dict]] = {}
    for row in rows:
        groups.setdefault(tuple(row[name] for name in SAME), []).append(row)
    for group in groups.values():
        different = list({row["image"]["bytes"]: row for row in group}.values())
        if len(different) >= PHOTOS:
            photos = [Image.open(io.BytesIO(row["image"]["bytes"])).convert("RGB") for row in different[:PHOTOS]]
            yield different[0]["caption"], photos


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("products")
    parser.add_argument("model")
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--precision", default="bf16")
    parser.add_argument("--out", type=Path, required=True)
    asked = parser.parse_args()
    began = time.perf_counter()
    found = drawn() if asked.products == "drawn" else listings(asked.products.removeprefix("listings:"))
    texts, photos = zip(*islice(found, asked.count), strict=True)
    encoder = load_encoder(asked.model, precision=asked.precision, batch_size=16, workers=0)
    plain = encoder.encode_images([photo for own in photos for photo in own]).reshape(len(texts), PHOTOS, -1)
    queries = {"photo": plain[:, 0], "text": encoder.encode_texts(texts)}
    rules = {f"{number} of the photos": normalised(plain[:, 1 : number + 1].sum(axis=1)) for number in range(1, PHOTOS)}
    samples, results = {}, {}
    for rule, vectors in rules.items():
        results[rule], samples[rule] = measured(queries, vectors, texts)
    for rule, samples_of in samples.items():
        differences = samples_of - samples[FIRST]
        names = results[rule]["metrics"]
        results[rule]["minus first"] = {
            "metrics": {name: names[name] - results[FIRST]["metrics"][name] for name in names},
            "ci95": {name: interval(differences[:, column]) for column, name in enumerate(names)},
        }
    model = {
        "path": Path(asked.model).name,
        "weights_sha256": encoder.info["weights_sha256"],
        "method": encoder.info["method"],
    }
    record = {"products": asked.products.partition(":")[0], "n": len(texts), "texts": len(set(texts)), "model": model}
    record |= {"precision": asked.precision, "rules": results}
    record |= {"seconds": time.perf_counter() - began, "version": __version__}
    asked.out.write_text(json.dumps(record, indent=2) + "\n")
    print(json.dumps(results, indent=1))


def measured(queries: dict[str, np.ndarray], vectors: np.ndarray, texts: tuple[str, ...]) -> tuple[dict, np.ndarray]:
    """Recalls in percent, with intervals; products of one text all answer it."""
    rows = np.arange(len(texts))
    groups = {"photo": rows, "text": np.unique(texts, return_inverse=True)[1]}
    measures, names = [], []
    for kind, query in queries.items():
        group = torch.from_numpy(groups[kind])
        ranks = query_ranks(torch.from_numpy(query), torch.from_numpy(vectors), group, group)
        hits = ranks.hits((1, 5, 10)).numpy()
        measures.append(Measure(100 * hits, rows))
        names += [f"{kind}_to_product_R@{k}" for k in (1, 5, 10)]
    means = np.concatenate([measure.values.mean(axis=0) for measure in measures])
    samples = resampled_means(measures)
    metrics = dict(zip(names, means.tolist(), strict=True))
    return {"metrics": metrics, "ci95": {name: interval(samples[:, i]) for i, name in enumerate(names)}}, samples


if __name__ == "__main__":
    main()

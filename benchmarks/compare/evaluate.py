"""Measures one encoder on one catalogue, for `e2 compare`: each photo and text is encoded once, all tasks use the vectors."""

import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch

from e2.adapters.encoder import Encoder, images_and_regions
from e2.adapters.product_vector import ALL_PHOTOS, ProductVector
from e2.benchmarks.compare.tags import (
    ONE,
    TWO,
    TagLabels,
    TagQuery,
    probe_right,
    read_tag_labels,
    tag_queries,
    zero_shot,
)
from e2.benchmarks.core.bootstrap import Measure, resampled_means
from e2.benchmarks.core.comparison import MeasuredEncoder, recorded
from e2.benchmarks.core.encoded import encoded_once
from e2.benchmarks.core.items import Items, read_items
from e2.benchmarks.retrieval.evaluate import answer
from e2.benchmarks.retrieval.image_to_image import AlikeTasks
from e2.benchmarks.retrieval.judged import METRICS, first_ten, judge
from e2.benchmarks.speed.harness import seconds
from e2.benchmarks.speed.record import machine
from e2.data.product import Catalogue, Product, without_photos

TIMED = 20  # single photos and texts
SHOWN, TOP = 2, 5  # example queries of each kind, products shown for each
DESCRIPTION = "description"
Scores = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class CompareTasks:
    """A catalogue and all that is asked about it, the same for every encoder.

    Attributes:
        catalogue: one split.
        text: ``caption`` or ``full``.
        seed: of folds, drawn queries, examples and the bootstrap.
        resamples: of the bootstrap.
        items: photos and texts.
        products: the records, without photos.
        labels: entity -> labels.
        queries: bare tags.
        alike: photos against photos.
        product_vector: rule of the products that bare tags and descriptions find.
    """

    catalogue: Catalogue
    text: str
    seed: int
    resamples: int
    items: Items
    products: list[Product]
    labels: dict[str, TagLabels]
    queries: list[TagQuery]
    alike: AlikeTasks
    product_vector: ProductVector = ALL_PHOTOS

    @classmethod
    def of(
        cls, catalogue: Catalogue, text: str, seed: int, resamples: int, product_vector: ProductVector = ALL_PHOTOS
    ) -> "CompareTasks":
        """Reads a catalogue without its photos."""
        items = read_items(catalogue, text)
        products = list(without_photos(catalogue))
        labels = read_tag_labels(products, catalogue.tags)
        alike = AlikeTasks.of(catalogue, items)
        queries = tag_queries(labels, seed)
        return cls(catalogue, text, seed, resamples, items, products, labels, queries, alike, product_vector)


@dataclass(frozen=True)
class CatalogueVectors:
    """Vectors of all photos (I, D), of first photos (P, D) and, of an encoder with entities, their regions (P, E, D); of
    products (P, D)."""

    images: np.ndarray
    products: np.ndarray
    firsts: np.ndarray
    regions: np.ndarray | None


def measure(encoder: Encoder, tasks: CompareTasks) -> MeasuredEncoder:
    """Measures an encoder.

    Raises:
        InputError: a photo cannot be read, or vectors are not finite.
    """
    start = time.perf_counter()
    vectors, speed = encode(encoder, tasks)
    once = encoded_once(encoder, vectors.images)
    texts = list(dict.fromkeys(tasks.items.texts))
    speed["texts_per_second"] = len(texts) / seconds(lambda: once.encode_texts(texts))
    speed["text_ms"] = _one_at_a_time(encoder.encode_texts, texts)
    metrics, samples = _retrieval(once, tasks)
    for found in (_attributes(encoder, vectors, tasks), tasks.alike.measures(vectors.images, encoder.device)):
        _add(metrics, samples, found, tasks)
    asked, shown = _bare_tags(once, vectors, tasks)
    for kind, measured in asked.items():
        drawn = resampled_means([Measure(measured, np.arange(len(measured)))], resamples=tasks.resamples, seed=tasks.seed)
        names = [f"{kind}_{name}" for name in METRICS]
        metrics |= dict(zip(names, (100 * measured.mean(axis=0)).tolist(), strict=True))
        samples |= dict(zip(names, 100 * drawn.T, strict=True))
    size = {"megabytes": encoder.weight_bytes / 1e6, "dimensions": vectors.images.shape[1]}
    facts: dict[str, Any] = {
        "text": tasks.text,
        "product_vector": str(tasks.product_vector),
        "seed": tasks.seed,
        "resamples": tasks.resamples,
        "entities": {
            entity: {"values": len(own.values), "products": len(own.rows), "majority": own.majority}
            for entity, own in tasks.labels.items()
        },
        "garment": tasks.alike.garment,
        "queries": {kind: len(measured) for kind, measured in asked.items()},
        "truncated_texts": encoder.truncated(texts),
        "examples": shown + _description_examples(once, vectors, tasks),
        "machine": machine(),
    }
    return recorded("compare", "catalogue", tasks.catalogue, encoder, {**metrics, **speed, **size}, samples, start, **facts)


def encode(encoder: Encoder, tasks: CompareTasks) -> tuple[CatalogueVectors, dict[str, float]]:
    """Encodes all photos, with the photos per second and the milliseconds of a single one."""
    photos, firsts = tasks.items.images, tasks.alike.firsts
    start = time.perf_counter()
    images, regions = images_and_regions(encoder, photos)
    rate = len(photos) / (time.perf_counter() - start)
    if encoder.cached is not None:  # frozen layers did not run for these
        batch = [photos[row] for row in range(min(encoder.batch_size, len(photos)))]
        rate = len(batch) / seconds(partial(images_and_regions, encoder, batch))
    rule = tasks.product_vector
    viewed = rule.of_photos(encoder, photos, whole=images)
    products = rule.joined(encoder, tasks.products, np.split(viewed, firsts[1:]))
    vectors = CatalogueVectors(images, products, images[firsts], None if regions is None else regions[firsts])
    some = [photos[row] for row in range(min(TIMED, len(photos)))]
    return vectors, {"photos_per_second": rate, "photo_ms": _one_at_a_time(encoder.encode_images, some)}


def _one_at_a_time(encode: Any, items: Sequence[Any]) -> float:
    """Median milliseconds of encoding one item."""
    return 1000 * statistics.median(seconds(partial(encode, [item], progress=False)) for item in items[:TIMED])


def _retrieval(once: Encoder, tasks: CompareTasks) -> tuple[dict[str, float], dict[str, np.ndarray]]:
    answers = answer(once, tasks.items, None)
    metrics = answers.metrics()
    return metrics, dict(zip(metrics, answers.samples(tasks.resamples, tasks.seed).T, strict=True))


Found = dict[str, Measure]  # metric -> values of one column


def _attributes(encoder: Encoder, vectors: CatalogueVectors, tasks: CompareTasks) -> Found:
    if not tasks.labels:
        return {}
    found = {}
    nearest = zero_shot(encoder, tasks.labels, vectors.firsts, vectors.regions)
    for entity, labels in tasks.labels.items():
        probed = probe_right(vectors.firsts, labels, tasks.seed)
        for kind, right in (("zero_shot", nearest[entity]), ("probe", probed)):
            found[f"{entity}_{kind}"] = Measure(right[:, None].astype(float), labels.rows)
    return found


def _add(metrics: dict[str, float], samples: dict[str, np.ndarray], found: Found, tasks: CompareTasks) -> None:
    """Adds measures in percent, and the means over entities of attributes."""
    if not found:
        return
    drawn = 100 * resampled_means(list(found.values()), resamples=tasks.resamples, seed=tasks.seed)
    means = {name: 100 * float(measure.values.mean()) for name, measure in found.items()}
    columns = dict(zip(found, drawn.T, strict=True))
    for kind in ("zero_shot", "probe"):
        own = [name for entity in tasks.labels if (name := f"{entity}_{kind}") in found]
        if own:
            metrics[kind] = float(np.mean([means[name] for name in own]))
            samples[kind] = np.mean([columns[name] for name in own], axis=0)
    metrics |= means
    samples |= columns


def _bare_tags(
    once: Encoder, vectors: CatalogueVectors, tasks: CompareTasks
) -> tuple[dict[str, np.ndarray], list[dict[str, Any]]]:
    """Metrics (Q, 7) of each kind of query and of each entity's, and examples."""
    asked: dict[str, np.ndarray] = {}
    shown: list[dict[str, Any]] = []
    for kind in (ONE, TWO):
        queries = [query for query in tasks.queries if query.kind == kind]
        if not queries:
            continue
        found = _first_ten(once, vectors, [query.text for query in queries])
        relevant = {str(place): {str(row): 1 for row in query.rows} for place, query in enumerate(queries)}
        asked[kind] = judge(relevant, found)
        for entity in tasks.labels if kind == ONE else ():
            asked[f"{kind}_{entity}"] = asked[kind][[query.entities == (entity,) for query in queries]]
        for place in _drawn(len(queries), tasks.seed):
            rows = [int(row) for row in found[place]]
            shown.append(_example(kind, queries[place].text, rows, set(queries[place].rows.tolist()), tasks))
    return asked, shown


def _description_examples(once: Encoder, vectors: CatalogueVectors, tasks: CompareTasks) -> list[dict[str, Any]]:
    places = _drawn(len(tasks.items.texts), tasks.seed)
    texts = [tasks.items.texts[place] for place in places]
    found = _first_ten(once, vectors, texts)
    owners = tasks.items.text_products[places]
    return [
        _example(DESCRIPTION, text, [int(row) for row in rows], {int(owner)}, tasks)
        for text, rows, owner in zip(texts, found, owners, strict=True)
    ]


def _drawn(count: int, seed: int) -> list[int]:
    return np.random.default_rng(seed).permutation(count)[:SHOWN].tolist()


def _first_ten(once: Encoder, vectors: CatalogueVectors, texts: Sequence[str]) -> list[list[str]]:
    """Rows, as words, of the first ten products for each text."""
    queries, gallery = (torch.from_numpy(part).to(once.device) for part in (once.encode_texts(texts, False), vectors.products))
    return first_ten(queries, gallery, [str(row) for row in range(len(gallery))])


def _example(kind: str, text: str, rows: Sequence[int], right: set[int], tasks: CompareTasks) -> dict[str, Any]:
    hits = [{"row": row, "id": tasks.products[row].product_id, "right": row in right} for row in rows[:TOP]]
    return {"kind": kind, "text": text, "hits": hits}

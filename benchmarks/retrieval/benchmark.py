"""Evaluates retrieval on judged queries, for `e2 evaluate retrieval --qrels`: those of a benchmark or one's own.

The gallery is a whole split, each product once, by the mean of its photos and by its first text. ``marqo:NAME`` is the
protocol of the public fashion leaderboard (marqo-ai/marqo-FashionCLIP, ``eval.py``): each file
``ground_truth_COLUMN-DOCUMENT.json`` is a task, with the values of a column as queries; ``image`` searches photos,
``image+text`` unit vectors of 0.9 photo + 0.1 text.
Without a benchmark photos are searched, or what the product vector says.
"""

import contextlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import RenderableType
from torch import Tensor
from torch.nn import functional as F

from e2.adapters.encoder import Encoder
from e2.adapters.product_vector import ALL_PHOTOS, ProductVector
from e2.benchmarks.core.bootstrap import RESAMPLES, Measure, resampled_means
from e2.benchmarks.core.comparison import Comparison, Measured, check_encoders, compare_encoders, write_comparison
from e2.benchmarks.core.items import read_items
from e2.benchmarks.core.tables import metrics_table
from e2.benchmarks.retrieval.judged import METRICS, first_ten, judge
from e2.benchmarks.retrieval.qrels import Qrels, read_ids, read_qrels
from e2.checkpoint import read_config
from e2.config import TrainConfig
from e2.counting import counted
from e2.data.product import Catalogue, without_photos
from e2.data.remote import is_remote
from e2.errors import InputError, printable
from e2.extras import require_extra
from e2.files import file_sha256
from e2.notes import note
from e2.settings import from_dict
from e2.training.splits import open_splits

MARQO = "marqo:"
GALLERIES = {  # of the leaderboard: products of each; None: not published
    "Atlas": 78_370,
    "DeepFashion-InShop": 52_591,
    "DeepFashion-Multimodal": 42_537,
    "Fashion200k": 201_624,
    "KAGL": 44_434,
    "Polyvore": 94_096,
    "iMaterialist": None,
}
TEXT_SHARE = 0.1  # of the text in a product's vector for ``image+text``
TASK = re.compile(r"ground_truth_(?P<column>.+)-image(?P<text>\+text)?")
TIES = "by descending product id, as in trec_eval"


@dataclass(frozen=True)
class JudgedTask:
    """Queries with known answers, and the share of the text in a product's vector."""

    name: str
    qrels: Qrels
    text_share: float = 0.0

    def facts(self) -> dict[str, Any]:
        """Facts for the record."""
        return {
            "name": self.name,
            "sha256": file_sha256(self.qrels.path),
            "queries": len(self.qrels.relevant),
            "relevant": sum(map(len, self.qrels.relevant.values())),
            "judgements_outside": self.qrels.outside,
            "queries_unanswered": self.qrels.unanswered,
            "text_share": self.text_share,
        }

    def documents(self, images: Tensor, texts: Tensor | None) -> Tensor:
        """Vectors (G, D) to search, from those of photos and texts (G, D)."""
        if texts is None or not self.text_share:
            return images
        return F.normalize((1 - self.text_share) * images + self.text_share * texts, dim=1)

    def values(self, encoder: Encoder, documents: Tensor, ids: Sequence[str]) -> np.ndarray:
        """Metrics (Q, 7) of the queries, in percent."""
        relevant = self.qrels.relevant
        asked = _vectors(encoder, encoder.encode_texts([self.qrels.texts[query] for query in relevant]))
        return 100 * judge(relevant, first_ten(asked, documents, ids))


def evaluate_qrels(
    encoders: Sequence[Encoder],
    catalogue: Catalogue,
    files: Sequence[str | Path],
    *,
    benchmark: str | None = None,
    queries: str | Path | None = None,
    exclude_ids: str | Path | None = None,
    text: str = "caption",
    product_vector: ProductVector = ALL_PHOTOS,
    seed: int = 0,
    out: str | Path | None = None,
    resamples: int = RESAMPLES,
) -> Comparison:
    """Measures how well products are found by judged queries.

    Args:
        encoders: one or several; several are compared on the same queries, with paired intervals.
        catalogue: one split, the gallery.
        files: judgements; see `e2.benchmarks.retrieval.qrels`. Several are tasks of one gallery, encoded once.
        benchmark: ``marqo:NAME``, or None for judgements of one's own.
        queries: texts of the queries, if the judgements name them by ids.
        exclude_ids: file of products to leave out of gallery and judgements, e.g. those that a model was trained on.
        text: ``caption`` or ``full``, the products' text in ``image+text``.
        product_vector: rule of the products' vectors; a benchmark has its own share of the text.
        seed: of the bootstrap over queries.
        out: folder for ``metrics.json`` (several encoders: a folder each, and ``comparison.json``).
        resamples: of the bootstrap.

    Raises:
        InputError: unknown benchmark or text; files that cannot be used; no encoder or one twice; no product left.
    """
    require_extra("qrels", "evaluation by --qrels", "ir_measures")
    check_encoders(encoders, out)
    if benchmark and product_vector.text:
        raise InputError(f"--benchmark {benchmark} has its own share of the text; give --product-vector without one")
    tasks = read_tasks(files, benchmark, queries)
    if not benchmark:
        tasks = [replace(task, text_share=product_vector.text) for task in tasks]
    items = read_items(catalogue, text, first_only=True)
    _check_size(benchmark, len(items.product_ids))
    excluded = read_ids(exclude_ids) if exclude_ids else set()
    rows = [row for row, product in enumerate(items.product_ids) if product not in excluded]
    ids = [items.product_ids[row] for row in rows]
    if exclude_ids and len(ids) == len(items.product_ids):
        note(f"no id of {exclude_ids} is in the gallery, so nothing is excluded")
    known = set(ids)
    tasks = [replace(task, qrels=task.qrels.within(known)) for task in tasks]
    _tell_left_out(tasks)
    relevant = {product for task in tasks for product in task.qrels.products}
    photos = replace(product_vector, text=0.0)
    texts = [items.texts[row] for row in rows]
    facts = {"n_gallery": len(ids), "excluded": len(items.product_ids) - len(ids), "tie_policy": TIES}
    facts |= {"product_vector": str(photos), "tasks": [task.facts() for task in tasks]}

    def measure(encoder: Encoder) -> Measured:
        seen = _relevant_in_training(encoder, relevant)
        images = _vectors(encoder, photos.encode(encoder, catalogue, rows))
        described = _vectors(encoder, encoder.encode_texts(texts)) if any(task.text_share for task in tasks) else None
        metrics: dict[str, float] = {}
        samples: dict[str, np.ndarray] = {}
        for task in tasks:
            values = task.values(encoder, task.documents(images, described), ids)
            drawn = resampled_means([Measure(values, np.arange(len(values)))], resamples=resamples, seed=seed)
            names = [name if len(tasks) == 1 else f"{task.name}_{name}" for name in METRICS]
            metrics |= dict(zip(names, values.mean(axis=0).tolist(), strict=True))
            samples |= dict(zip(names, drawn.T, strict=True))
        return metrics, samples, {**facts, "relevant_in_training": seen}

    options: dict[str, Any] = {"text": text, "seed": seed, "resamples": resamples, "unit": "query"}
    comparison = compare_encoders(encoders, measure, "retrieval", benchmark or "qrels", catalogue, **options)
    write_comparison(out, comparison)
    return comparison


def judged_table(comparison: Comparison) -> RenderableType:
    """Tabulates metrics by encoder, then the paired differences; see `metrics_table`."""
    first = comparison.results[0]
    title = f"{first['protocol']} on {first['dataset']}, {first['split']}, {counted(first['n_gallery'], 'product')}"
    counts = ", ".join(f"{task['name']} {task['queries']:,}" for task in first["tasks"])
    caption = f"percent, 95 % intervals over queries ({counts})"
    return metrics_table(comparison, list(first["metrics"]), title, caption)


def read_tasks(
    files: Sequence[str | Path], benchmark: str | None = None, queries: str | Path | None = None
) -> list[JudgedTask]:
    """Reads the tasks of a benchmark, or of one's own judgements: named after their files, photos searched.

    Raises:
        InputError: an unknown benchmark, a file that cannot be used or has another benchmark's name, or two of one name.
    """
    name = (benchmark or "").removeprefix(MARQO)
    if benchmark is not None and (name == benchmark or name not in GALLERIES):
        raise InputError(f"unknown benchmark {printable(benchmark)!r}; choose {MARQO}NAME with {', '.join(GALLERIES)}")
    read = _marqo_task if benchmark else lambda qrels: JudgedTask(qrels.path.stem, qrels)
    tasks = [read(read_qrels(file, queries)) for file in files]
    if len({task.name for task in tasks}) < len(tasks):
        raise InputError(f"two of {', '.join(map(str, files))} have one name; give each task once")
    return tasks


def _marqo_task(qrels: Qrels) -> JudgedTask:
    parts = TASK.fullmatch(qrels.path.stem)
    if not parts:
        raise InputError(
            f"{qrels.path}: a file of the leaderboard is named ground_truth_COLUMN-image.json or "
            "ground_truth_COLUMN-image+text.json, which tells what is searched; for another file leave out --benchmark"
        )
    return JudgedTask(parts["column"], qrels, TEXT_SHARE if parts["text"] else 0.0)


def _check_size(benchmark: str | None, found: int) -> None:
    published = GALLERIES[benchmark.removeprefix(MARQO)] if benchmark else None
    if published and published != found:
        note(f"{benchmark} has {published:,} products, this gallery {found:,}: do not compare with the leaderboard")


def _tell_left_out(tasks: Sequence[JudgedTask]) -> None:
    for task in tasks:
        qrels, left = task.qrels, len(task.qrels.relevant)
        if qrels.outside or qrels.unanswered:
            note(
                f"{task.name}: {qrels.outside:,} judgements of products that are not in the gallery and {qrels.unanswered:,} "
                f"queries without a relevant product in it are left out, {left:,} queries are measured"
            )


def _relevant_in_training(encoder: Encoder, relevant: set[str]) -> int | None:
    """Counts, and tells of, relevant products that an encoder was trained on; None if its training data is not known here."""
    path = encoder.info["path"]
    try:
        training = from_dict(TrainConfig, read_config(path)["training"])
    except InputError:
        return None  # not trained by e2
    trained_on = " + ".join([training.data.data, *training.data.more])
    trained = None
    with contextlib.suppress(InputError):
        if not is_remote(trained_on):  # a stranger's checkpoint does not say what is fetched
            trained = {product.product_id for product in without_photos(open_splits(training)[0])}
    if trained is None:
        note(f"{path} was trained on {trained_on}, which is not here: it may hold relevant products")
        return None
    seen = len(relevant & trained)
    if seen:
        note(
            f"{path} was trained on {trained_on}, which holds {seen:,} of the {len(relevant):,} relevant products by "
            "their ids: its results are too good; leave these out by --exclude-ids FILE"
        )
    return seen


def _vectors(encoder: Encoder, vectors: np.ndarray) -> Tensor:
    return torch.from_numpy(vectors).to(encoder.device)

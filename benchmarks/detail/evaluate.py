"""Evaluates recall as the query gains fields, and each field's contribution, for `e2 evaluate detail`.

Fields are the catalogue's entities and, last, the description. The entities are ordered greedily on a tuning split, by exact
recall (mean over k and encoders), and evaluated on another. All encoders answer the same queries, so their differences are
paired. Every product that has all fields gives a query; the gallery holds all products' photos.

Reported per number of fields: ``matching_R@k_N`` and ``exact_R@k_N`` (see `metrics`); each field's gain, the full query's
exact recall (mean over k) minus that without the field; and the number of texts truncated at the context length.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import RenderableType

from e2.adapters.encoder import Encoder
from e2.adapters.product_images import ProductImages
from e2.benchmarks.core.bootstrap import RESAMPLES, Measure, resampled_means
from e2.benchmarks.core.comparison import Comparison, Measured, check_encoders, compare_encoders, write_comparison
from e2.benchmarks.core.encoded import EncodedOnce
from e2.benchmarks.core.items import read_items
from e2.benchmarks.core.tables import metrics_table
from e2.benchmarks.detail.figure import save_curves
from e2.benchmarks.detail.metrics import fitting, greedy_order, write_query
from e2.counting import counted
from e2.data.loader import DESCRIPTION
from e2.data.product import Catalogue, without_photos
from e2.errors import InputError
from e2.ranks import KS, TIE_POLICY, query_ranks
from e2.spelling import spelling

FIGURES = ("detail.png", "detail.svg")
KINDS = ("matching", "exact")


@dataclass(frozen=True)
class Shelf:
    """A split to search."""

    records: list[dict[str, str]]  # field -> text of each product
    asked: np.ndarray  # rows of the products that have all fields: each gives a query
    photos: ProductImages  # all photos, and ``owners`` the product of each
    owners: np.ndarray


class Searcher:
    """Searches one shelf with one encoder; photos and texts are encoded once."""

    def __init__(self, encoder: Encoder, shelf: Shelf):
        self.encoder, self.shelf = encoder, shelf
        self.photos = torch.from_numpy(encoder.encode_images(shelf.photos)).to(encoder.device)
        self.encoded = EncodedOnce(encoder)
        # Records as the encoder sees them: values that its tokenizer makes equal (Nike, nike) are the same.
        texts = list({text for record in shelf.records for text in record.values()})
        keys = dict(zip(texts, encoder.text_keys(texts), strict=True))
        self.seen = [{field: keys[text] for field, text in record.items()} for record in shelf.records]

    def hits(self, fields: Sequence[str]) -> np.ndarray:
        """(Q, 2 * K) hits in the top 1, 5 and 10 of queries with these fields: matching, then exact."""
        device = self.encoder.device
        queries = torch.from_numpy(self.encoded.encode_texts(self.queries(fields), progress=False)).to(device)
        groups = fitting(fields, self.seen)
        found = []
        for own in (groups, np.arange(len(groups))):
            wanted, there = (torch.from_numpy(own[rows]).to(device) for rows in (self.shelf.asked, self.shelf.owners))
            ranks = query_ranks(queries, self.photos, wanted, there)
            found.append(ranks.hits(KS).cpu().numpy())
        return np.concatenate(found, axis=1)

    def exact_recall(self, fields: Sequence[str]) -> float:
        """Mean exact recall over queries and k, in percent, by which the order is chosen."""
        return 100 * float(self.hits(fields)[:, len(KS) :].mean())

    def queries(self, fields: Sequence[str]) -> list[str]:
        """Queries, one per product asked for."""
        return [write_query(fields, self.shelf.records[row]) for row in self.shelf.asked]


def evaluate_detail(
    encoders: Sequence[Encoder],
    catalogue: Catalogue,
    tuning: Catalogue,
    *,
    seed: int = 0,
    out: str | Path | None = None,
    resamples: int = RESAMPLES,
) -> Comparison:
    """Evaluates several encoders on the same queries of growing detail.

    Args:
        encoders: one or several.
        catalogue: the split to evaluate.
        tuning: another split, for ordering the fields.
        seed, resamples: of the bootstrap.
        out: folder for `write_comparison` and ``detail.png``.

    Raises:
        InputError: no encoder or one twice, no entities, or a split in which fewer than two products have all fields.
    """
    check_encoders(encoders, out, *FIGURES)
    fields = fields_of(catalogue)
    tried = [Searcher(encoder, read_shelf(tuning, fields)) for encoder in encoders]
    found, tries = greedy_order(fields[:-1], lambda chosen: float(np.mean([one.exact_recall(chosen) for one in tried])))
    order = [*found, fields[-1]]
    shelf = read_shelf(catalogue, fields)
    facts: dict[str, Any] = {
        "order": order,
        "order_from": {"split": tuning.split, "n": len(tried[0].shelf.asked), "tried": tries},
        "tie_policy": TIE_POLICY,
    }

    def measure(encoder: Encoder) -> Measured:
        searcher = Searcher(encoder, shelf)
        values = measured_queries(searcher, order)
        drawn = resampled_means([Measure(values, shelf.asked)], resamples=resamples, seed=seed)
        metrics = {name: float(value) for name, value in named_metrics(values.mean(axis=0), order).items()}
        own = {"n_queries": len(shelf.asked), "n_images": len(shelf.photos)}
        own["products_without_all_fields"] = len(shelf.records) - len(shelf.asked)
        steps = [_step(searcher, order[:count]) for count in range(1, len(order) + 1)]
        return metrics, named_metrics(drawn, order), {**own, **facts, "steps": steps}

    options: dict[str, Any] = {"text": "fields", "seed": seed, "resamples": resamples}
    comparison = compare_encoders(encoders, measure, "detail", "text-to-image", catalogue, **options)
    write_comparison(out, comparison)
    if out is not None:
        save_curves(comparison, Path(out))
    return comparison


def fields_of(catalogue: Catalogue) -> tuple[str, ...]:
    """Entities in order, then the description.

    Raises:
        InputError: there are no entities.
    """
    if not catalogue.tags:
        raise InputError(f"{catalogue.name} has no tags, only descriptions; name columns by --tags, e.g. --tags brand,season")
    return (*(entity for entity in catalogue.tags if entity != DESCRIPTION), DESCRIPTION)


def read_shelf(catalogue: Catalogue, fields: Sequence[str]) -> Shelf:
    """Reads texts and tags, but no photos.

    Raises:
        InputError: fewer than two products have all fields.
    """
    items = read_items(catalogue, "caption")
    records = [
        {entity: ", ".join(sorted(values, key=spelling)) for entity, values in product.values.items()}
        | {DESCRIPTION: product.captions[0]}
        for product in without_photos(catalogue)
    ]  # several values in one order, as the same ones are the same field
    asked = np.flatnonzero([all(field in record for field in fields) for record in records])
    if len(asked) < 2:
        counts = ", ".join(f"{field} {sum(field in record for record in records):,}" for field in fields)
        raise InputError(
            f"{catalogue.name} split {catalogue.split}: {len(asked)} of {counted(len(records), 'product')} have all fields "
            f"({counts}); leave rare ones out by --tags"
        )
    return Shelf(records, asked, items.images, items.image_products)


def measured_queries(searcher: Searcher, order: Sequence[str]) -> np.ndarray:
    """(Q, 2 * fields * kinds * K) hits for the first field, the first two and so on, then for all fields but each one."""
    prefixes = [tuple(order[:count]) for count in range(1, len(order) + 1)]
    without = [tuple(other for other in order if other != field) for field in order]
    return np.concatenate([searcher.hits(fields) for fields in (*prefixes, *without)], axis=1)


def named_metrics(means: np.ndarray, order: Sequence[str]) -> dict[str, np.ndarray]:
    """Converts (..., 2 * fields * kinds * K) hits of `measured_queries`, or their means, to metrics in percent, (...) each."""
    table = 100 * means.reshape(*means.shape[:-1], 2 * len(order), len(KINDS), len(KS))
    metrics: dict[str, np.ndarray] = {}
    for kind, name in enumerate(KINDS):
        for step in range(len(order)):
            metrics |= {f"{name}_R@{k}_{step + 1}": table[..., step, kind, place] for place, k in enumerate(KS)}
    exact = table[..., KINDS.index("exact"), :].mean(axis=-1)  # (..., 2 * fields)
    gains = {f"gain_{field}": exact[..., len(order) - 1] - exact[..., len(order) + i] for i, field in enumerate(order)}
    return metrics | gains


def _step(searcher: Searcher, fields: Sequence[str]) -> dict[str, Any]:
    """Describes the queries of a number of fields."""
    texts, shelf = searcher.queries(fields), searcher.shelf
    groups = fitting(fields, searcher.seen)
    sizes = np.bincount(groups[groups >= 0])
    return {
        "fields": list(fields),
        "distinct_queries": len(set(texts)),
        "mean_fitting_products": float(sizes[groups[shelf.asked]].mean()),
        "texts_cut": 100 * searcher.encoder.truncated(texts) / len(texts),
    }


def results_table(comparison: Comparison) -> RenderableType:
    """Tabulates recalls by number of fields, then each field's gain; * marks differences clear of zero."""
    first = comparison.results[0]
    order = ", + ".join(first["order"])
    title = "detail of the query on {dataset}, {split}, {n_queries:,} queries, {n_images:,} photos".format_map(first)
    cut = ", ".join(f"{step['texts_cut']:.1f}" for step in first["steps"])
    caption = (
        f"fields: {order}; texts truncated at the context length: {cut} %. Percent, 95 % intervals over products; gain: loss "
        "of exact recall (mean of R@1, 5, 10) when the full query lacks the field"
    )
    steps = range(1, len(first["order"]) + 1)
    names = [f"{kind}_R@{KS[-1]}_{step}" for kind in KINDS for step in steps]
    names += [f"gain_{field}" for field in first["order"]]  # the other recalls are in the files
    return metrics_table(comparison, names, title, caption)

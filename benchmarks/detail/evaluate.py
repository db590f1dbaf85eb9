"""Evaluates recall as the query gains fields, and each field's contribution, for `e2 evaluate detail`.

Fields are the catalogue's entities and, last, the description. The entities are ordered greedily on a tuning split, by exact
recall (mean over k and encoders), and evaluated on another. All encoders answer the same queries, so their differences are
paired. Every product that has a tag gives a query, of those of the fields that it has; the gallery holds all products' photos.

Reported per number of fields: ``matching_R@k_N`` and ``exact_R@k_N`` (see `metrics`), where a product that has none of these
fields is not found; each field's gain on the products that have it, the full query's exact recall (mean over k) minus that
without the field; and the number of texts truncated at the context length.
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
    asked: np.ndarray  # (Q,) rows of the products that have a tag: each gives a query
    photos: ProductImages  # all photos, and ``owners`` the product of each
    owners: np.ndarray

    def listing(self, fields: Sequence[str]) -> dict[tuple[str, ...], np.ndarray]:
        """Those of some fields that products have -> places in ``asked`` of these products; without those that have none."""
        found: dict[tuple[str, ...], list[int]] = {}
        for place, row in enumerate(self.asked):
            if listed := tuple(field for field in fields if field in self.records[row]):
                found.setdefault(listed, []).append(place)
        return {listed: np.array(places) for listed, places in found.items()}

    def counts(self, fields: Sequence[str]) -> dict[str, int]:
        """Number of products asked for that have each field."""
        return {field: sum(field in self.records[row] for row in self.asked) for field in fields}


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

    def hits(self, fields: Sequence[str], kind: str) -> np.ndarray:
        """(Q, K) hits in the top 1, 5 and 10, ``matching`` or ``exact``; a query lists the fields that its product has."""
        found, asked = np.zeros((len(self.shelf.asked), len(KS))), self.shelf.asked
        for listed, places in self.shelf.listing(fields).items():
            texts = [write_query(listed, self.shelf.records[row]) for row in asked[places]]
            queries = torch.from_numpy(self.encoded.encode_texts(texts, progress=False)).to(self.encoder.device)
            own = fitting(listed, self.seen) if kind == "matching" else np.arange(len(self.seen))
            wanted, there = (torch.from_numpy(own[rows]).to(queries.device) for rows in (asked[places], self.shelf.owners))
            found[places] = query_ranks(queries, self.photos, wanted, there).hits(KS).cpu().numpy()
        return found

    def exact_recall(self, fields: Sequence[str]) -> float:
        """Mean exact recall over queries and k, in percent, by which the order is chosen."""
        return 100 * float(self.hits(fields, "exact").mean())

    def gains(self, fields: Sequence[str], field: str, full: np.ndarray) -> np.ndarray:
        """Exact recall (Q,) of the full queries' hits (Q, K) minus that without a field; NaN for products that lack it."""
        without = self.hits([other for other in fields if other != field], "exact")
        there = np.array([field in self.shelf.records[row] for row in self.shelf.asked])
        return np.where(there, (full - without).mean(axis=1), np.nan)


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
        InputError: no encoder or one twice, no entities, or a split in which fewer than two products have tags.
    """
    check_encoders(encoders, out, *FIGURES)
    shelf, tuned = read_shelf(catalogue), read_shelf(tuning)
    counts = [found.counts(fields_of(catalogue)) for found in (shelf, tuned)]
    fields = [field for field in fields_of(catalogue) if all(found[field] for found in counts)]
    tried = [Searcher(encoder, tuned) for encoder in encoders]
    found, tries = greedy_order(fields[:-1], lambda chosen: float(np.mean([one.exact_recall(chosen) for one in tried])))
    order = [*found, fields[-1]]
    facts: dict[str, Any] = {
        "order": order,
        "fields_of_no_product": [field for field in fields_of(catalogue) if field not in fields],
        "order_from": {"split": tuning.split, "n": len(tried[0].shelf.asked), "tried": tries},
        "tie_policy": TIE_POLICY,
    }

    def measure(encoder: Encoder) -> Measured:
        searcher = Searcher(encoder, shelf)
        values = measured_queries(searcher, order)
        known = [(each, ~np.isnan(each)) for each in values.values()]
        measures = [Measure(each[there, None], shelf.asked[there]) for each, there in known]
        drawn = resampled_means(measures, resamples=resamples, seed=seed)
        metrics = {name: float(np.nanmean(each)) for name, each in values.items()}
        own: dict[str, Any] = {"n_queries": len(shelf.asked), "n_images": len(shelf.photos)}
        own |= {"products_without_tags": len(shelf.records) - len(shelf.asked), "products_with": shelf.counts(order)}
        steps = [_step(searcher, order[:count]) for count in range(1, len(order) + 1)]
        return metrics, dict(zip(metrics, drawn.T, strict=True)), {**own, **facts, "steps": steps}

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


def read_shelf(catalogue: Catalogue) -> Shelf:
    """Reads texts and tags, but no photos.

    Raises:
        InputError: fewer than two products have tags.
    """
    items = read_items(catalogue, "caption")
    records = [
        {entity: ", ".join(sorted(values, key=spelling)) for entity, values in product.values.items()}
        | {DESCRIPTION: product.captions[0]}
        for product in without_photos(catalogue)
    ]  # several values in one order, as the same ones are the same field
    asked = np.flatnonzero([len(record) > 1 for record in records])
    if len(asked) < 2:
        where = f"{catalogue.name} split {catalogue.split}"
        raise InputError(
            f"{where}: {len(asked)} of {counted(len(records), 'product')} have tags; name other columns by --tags"
        )
    return Shelf(records, asked, items.images, items.image_products)


def measured_queries(searcher: Searcher, order: Sequence[str]) -> dict[str, np.ndarray]:
    """Metrics in percent of each query, (Q,) each: hits for the first field, the first two and so on, then each field's gain.

    A gain is NaN for a product without the field.
    """
    hits = {(kind, n): searcher.hits(order[:n], kind) for kind in KINDS for n in range(1, len(order) + 1)}
    values = {f"{kind}_R@{k}_{n}": own[:, i] for (kind, n), own in hits.items() for i, k in enumerate(KS)}
    values |= {f"gain_{field}": searcher.gains(order, field, hits["exact", len(order)]) for field in order}
    return {name: 100 * own for name, own in values.items()}


def _step(searcher: Searcher, fields: Sequence[str]) -> dict[str, Any]:
    """Describes the queries of a number of fields."""
    texts, fit, shelf = list[str](), list[int](), searcher.shelf
    for listed, places in shelf.listing(fields).items():
        groups, rows = fitting(listed, searcher.seen), shelf.asked[places]
        texts += [write_query(listed, shelf.records[row]) for row in rows]
        fit += np.bincount(groups[groups >= 0])[groups[rows]].tolist()
    return {
        "fields": list(fields),
        "queries": len(texts),
        "distinct_queries": len(set(texts)),
        "mean_fitting_products": float(np.mean(fit)),
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
    having = ", ".join(f"{field} {count:,}" for field, count in first["products_with"].items())
    caption += f". Products with each: {having}; a gain is of these"
    steps = range(1, len(first["order"]) + 1)
    names = [f"{kind}_R@{KS[-1]}_{step}" for kind in KINDS for step in steps]
    names += [f"gain_{field}" for field in first["order"]]  # the other recalls are in the files
    return metrics_table(comparison, names, title, caption)

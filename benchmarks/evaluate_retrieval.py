"""`e2 evaluate retrieval`: encodes a split with one or several encoders, ranks, and reports with intervals.

Protocols (say which one, numbers differ by tens of points):

- ``full``: every photo against every text of the split and back, products as ground truth.
- ``first-photo``: the authors' variant, one photo and one text per product, a square matrix.
- ``sample-100``: one positive among 100 negatives, of the same sub-category or any, 1,000 queries, mean and spread of 5 runs.
"""

import itertools
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table
from rich.text import Text

from adapters.encoder import Encoder
from benchmarks.bootstrap import RESAMPLES, interval
from benchmarks.candidates import CandidateLists, Gallery, draw_candidates, load_candidates
from benchmarks.items import CATEGORY, Items, read_items
from benchmarks.metrics_file import NAME, metrics_record, write_json
from benchmarks.retrieval import TIE_POLICY
from benchmarks.retrieval_answers import answer
from e2.data.product import Catalogue
from e2.distributed import processes
from e2.errors import InputError

PROTOCOLS = ("full", "first-photo", "sample-100")


@dataclass(frozen=True)
class Comparison:
    """What an evaluation gives.

    Attributes:
        results: one record per encoder, as in its ``metrics.json``.
        differences: for each pair of encoders, second minus first: ``first``, ``second``, ``metrics``, ``ci95`` (paired).
    """

    results: list[dict[str, Any]]
    differences: list[dict[str, Any]]


def evaluate_retrieval(
    encoders: Sequence[Encoder],
    catalogue: Catalogue,
    *,
    protocol: str = "full",
    text: str = "caption",
    seed: int = 0,
    out: str | Path | None = None,
    rule: str = "fame-vil",
    candidates: str | Path | None = None,
    resamples: int = RESAMPLES,
) -> Comparison:
    """Measures retrieval both ways.

    Args:
        encoders: one or several; several are compared on the same queries and lists, with paired intervals.
        catalogue: one split.
        protocol: ``full``, ``first-photo`` or ``sample-100``.
        text: ``caption`` or ``full`` (description and tags).
        seed: of the sampled lists and of the bootstrap.
        out: folder for ``metrics.json`` (several encoders: a folder each, and ``comparison.json``) and ``candidates.npz``.
        rule: of ``sample-100``, where the negatives come from: ``fame-vil``, ``authors`` or ``any``.
        candidates: saved lists to use instead of drawing new ones; they bring their own rule.
        resamples: of the bootstrap.

    Raises:
        InputError: unknown protocol, text or rule; no encoder or one twice; a split too small or without sub-categories.
    """
    _check(encoders, protocol)
    items = read_items(catalogue, text, first_only=protocol == "first-photo")
    lists = _lists(items, rule, seed, candidates) if protocol == "sample-100" else None
    facts = _facts(items, lists, resamples)
    results, samples = [], []
    for encoder in encoders:
        start = time.perf_counter()
        answers = answer(encoder, items, lists)
        metrics = answers.metrics()
        samples.append(answers.samples(resamples, seed))
        further = {"precision": encoder.precision, "truncated_texts": encoder.truncated(items.texts)}
        further |= {**facts, "tie_bounds": answers.tie_bounds()}
        if lists is not None:
            further["spread"] = answers.spread()
        record = metrics_record(
            "retrieval",
            protocol,
            catalogue,
            text=text,
            seed=seed,
            model=encoder.info,
            metrics=metrics,
            ci95=_intervals(metrics, samples[-1]),
            seconds=time.perf_counter() - start,
            **further,
        )
        results.append(record)
    comparison = Comparison(results, _differences(results, samples))
    if out is not None and processes().is_main_process:
        _write(Path(out), comparison, lists)
    return comparison


def results_table(comparison: Comparison) -> Table:
    """Metrics by model, side by side with 95 % intervals, then the paired differences; * where zero lies outside.

    Names come from users, so they are ``Text``, never markup.
    """
    first = comparison.results[0]
    title = "{protocol} retrieval on {dataset}, {split}, text {text}, {n} products".format_map(first)
    caption = f"percent, 95 % intervals over products; {first['tie_policy']}"
    table = Table("metric", title=Text(title), caption=caption)
    columns = []
    for record in comparison.results:
        table.add_column(Text(record["model"]["path"]), justify="right", overflow="fold")
        columns.append(_cells(record, "{:.1f}"))
    for difference in comparison.differences:
        table.add_column(Text("{second} − {first}".format_map(difference)), justify="right", overflow="fold")
        columns.append(_cells(difference, "{:+.1f}"))
    for name, *cells in zip(first["metrics"], *columns, strict=True):
        table.add_row(name.replace("_", " "), *cells)
    return table


def _cells(record: dict[str, Any], style: str) -> list[str]:
    """Value and interval of each metric; signed ones are differences."""
    cells = []
    for name, value in record["metrics"].items():
        low, high = record["ci95"][name]
        star = "*" if "+" in style and not low <= 0 <= high else ""
        cells.append(f"{style.format(value)}{star} ({style.format(low)} to {style.format(high)})")
    return cells


def _check(encoders: Sequence[Encoder], protocol: str) -> None:
    if protocol not in PROTOCOLS:
        raise InputError(f"unknown protocol {protocol!r}; choose {', '.join(PROTOCOLS)}")
    paths = [encoder.info["path"] for encoder in encoders]
    if not paths or len(set(paths)) < len(paths):
        raise InputError(f"give one or several different models, got {', '.join(paths) or 'none'}")


def _lists(items: Items, rule: str, seed: int, candidates: str | Path | None) -> CandidateLists:
    if rule != "any" and not candidates and not any(items.categories):
        raise InputError(
            f"sample-100 draws from each product's {CATEGORY}, which no product has; name its column by --tags, "
            "or draw from the whole split by --rule any"
        )
    gallery = Gallery(items.image_products, items.text_products, items.categories)
    return load_candidates(candidates, gallery) if candidates else draw_candidates(gallery, rule=rule, seed=seed)


def _facts(items: Items, lists: CandidateLists | None, resamples: int) -> dict[str, Any]:
    """What holds for all encoders."""
    facts: dict[str, Any] = {
        "n_images": len(items.images),
        "n_texts": len(items.texts),
        "identical_texts": len(items.texts) - len(set(items.texts)),  # no encoder can tell these apart
        "tie_policy": TIE_POLICY,
        "bootstrap": {"resamples": resamples, "unit": "product"},
    }
    if lists is not None:
        runs, queries, length = lists.text_candidates.shape
        short = int((lists.text_candidates[..., -1] < 0).sum() + (lists.image_candidates[..., -1] < 0).sum())
        facts["sampling"] = {"rule": lists.rule, "runs": runs, "queries": queries, "negatives": length - 1}
        facts["sampling"]["short_lists"] = short
    return facts


def _intervals(metrics: dict[str, float], samples: np.ndarray) -> dict[str, tuple[float, float]]:
    return {name: interval(column) for name, column in zip(metrics, samples.T, strict=True)}


def _differences(results: list[dict[str, Any]], samples: list[np.ndarray]) -> list[dict[str, Any]]:
    """Second minus first, for each pair in the order given."""
    return [
        {
            "first": first["model"]["path"],
            "second": second["model"]["path"],
            "metrics": {name: second["metrics"][name] - value for name, value in first["metrics"].items()},
            "ci95": {name: list(bounds) for name, bounds in _intervals(first["metrics"], b - a).items()},
        }
        for (first, a), (second, b) in itertools.combinations(zip(results, samples, strict=True), 2)
    ]


def _write(out: Path, comparison: Comparison, lists: CandidateLists | None) -> None:
    if lists is not None:
        lists.save(out / "candidates.npz")
    if len(comparison.results) == 1:
        write_json(out / NAME, comparison.results[0])
        return
    for number, record in enumerate(comparison.results, start=1):
        label = re.sub(r"[^\w.-]+", "_", record["model"]["path"].rstrip("/").rpartition("/")[2])
        write_json(out / f"{number}_{label}" / NAME, record)
    write_json(out / "comparison.json", {"results": comparison.results, "differences": comparison.differences})

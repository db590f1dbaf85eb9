"""Study `detail`: recall as the query gains fields (``e2.benchmarks.detail.evaluate``).

Fields come in the order of ``--tags``, then the description: all variants and seeds must answer the same queries.
`e2 evaluate detail` finds the best order for given models.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from e2.adapters.encoder import Encoder
from e2.benchmarks.core.names import measured_on
from e2.benchmarks.detail.evaluate import Searcher, fields_of, measured_queries, named_metrics, read_shelf
from e2.benchmarks.detail.figure import draw_detail
from e2.benchmarks.studies.base import Context, StudyMeasurement, Variant, methods
from e2.benchmarks.studies.trained import TrainedStudy
from e2.data import Catalogue

K = 10


def variants(context: Context) -> list[Variant]:
    """Every method that tags can help, against plain contrastive training and against the control without tokens."""
    return methods("clip", "multifield", "e2", against=("clip", "multifield"))


def recalls(encoder: Encoder, catalogue: Catalogue, context: Context) -> StudyMeasurement:
    """Measures ``exact_R@k_N`` and ``matching_R@k_N`` of queries of N fields, and ``gain_FIELD``."""
    order = fields_of(catalogue)
    searcher = Searcher(encoder, read_shelf(catalogue, order))
    values = named_metrics(measured_queries(searcher, order), order)
    items = {name: np.full(len(catalogue), np.nan) for name in values}
    for name, asked in values.items():
        items[name][searcher.shelf.asked] = asked
    return StudyMeasurement({name: float(asked.mean()) for name, asked in values.items()}, items)


def draw(record: Mapping[str, Any], path: Path) -> None:
    """Draws curves and gains, means over seeds."""
    scores = {label: {"metrics": record["metrics"][label], "ci95": record["ci95"][label]} for label in record["metrics"]}
    first = next(iter(scores.values()))["metrics"]
    order = [name.removeprefix("gain_") for name in first if name.startswith("gain_")]
    draw_detail(scores, order, measured_on(record), path)


@dataclass(frozen=True)
class DetailStudy(TrainedStudy):
    """Study with a column for each number of fields."""

    def run(self, context: Context) -> dict[str, Any]:
        count = len(fields_of(context.open(context.split)))
        columns = tuple(f"exact_R@{K}_{number}" for number in range(1, count + 1))
        return super(DetailStudy, replace(self, columns=columns, headline=columns[-1])).run(context)


STUDY = DetailStudy(
    name="detail",
    title="Detail of the query",
    question="How does recall grow as the query says more of the product?",
    variants=variants,
    measure=recalls,
    figure=draw,
    note="Columns: exact R@10 by number of fields in the query, in the order of --tags, the description last.",
)

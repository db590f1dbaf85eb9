"""Study `detail`: recall as the query gains fields (``e2.benchmarks.detail.evaluate``).

Fields come in the order of ``--tags``, then the description: all variants and seeds must answer the same queries.
`e2 evaluate detail` finds the best order for given models.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from e2.adapters.encoder import Encoder
from e2.benchmarks.core.names import measured_on
from e2.benchmarks.detail.evaluate import Searcher, fields_of, measured_queries, read_shelf
from e2.benchmarks.detail.figure import draw_detail
from e2.benchmarks.studies.base import Context, StudyMeasurement, every_method
from e2.benchmarks.studies.tables import scores_of
from e2.benchmarks.studies.trained import TrainedStudy
from e2.data import Catalogue

K = 10


def recalls(encoder: Encoder, catalogue: Catalogue, context: Context) -> StudyMeasurement:
    """Measures ``exact_R@k_N`` and ``matching_R@k_N`` of queries of N fields, and ``gain_FIELD``."""
    order = fields_of(catalogue)
    searcher = Searcher(encoder, read_shelf(catalogue))
    values = measured_queries(searcher, order)
    items = {name: np.full(len(catalogue), np.nan) for name in values}
    for name, asked in values.items():
        items[name][searcher.shelf.asked] = asked
    return StudyMeasurement({name: float(np.nanmean(asked)) for name, asked in values.items()}, items)


def columns(context: Context) -> tuple[str, ...]:
    """A column for each number of fields."""
    count = len(fields_of(context.open(context.split)))
    return tuple(f"exact_R@{K}_{number}" for number in range(1, count + 1))


def draw(record: Mapping[str, Any], path: Path) -> None:
    """Draws curves and gains, means over seeds."""
    scores = scores_of(record)
    first = next(iter(scores.values()))["metrics"]
    order = [name.removeprefix("gain_") for name in first if name.startswith("gain_")]
    draw_detail(scores, order, measured_on(record), path)


STUDY = TrainedStudy(
    name="detail",
    title="Detail of the query",
    question="How does recall grow as the query says more of the product?",
    variants=every_method,
    measure=recalls,
    columns=columns,
    figure=draw,
    note="Columns: exact R@10 by number of fields in the query, in the order of --tags, the description last.",
)

"""Study `gap`: training temperatures that narrow the modality gap, and their effect on retrieval (Yaras et al., CPAL 2025).

A learnt temperature falls during training and keeps the gap open; a fixed or rising one lets it close. For narrowing *after*
training, see `e2 evaluate gap`.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from e2.adapters.encoder import Encoder
from e2.benchmarks.core.encoded import encoded_once
from e2.benchmarks.core.figures import GREY, colours, figure_file
from e2.benchmarks.core.items import read_items
from e2.benchmarks.core.names import measured_on
from e2.benchmarks.gap.metrics import figures
from e2.benchmarks.retrieval.answers import answer
from e2.benchmarks.studies.base import Context, StudyMeasurement, Variant
from e2.benchmarks.studies.retrieval import retrieval_of
from e2.benchmarks.studies.trained import TrainedStudy
from e2.data import Catalogue

TEMPERATURES = {"rising": (0.01, 0.05), "fixed-0.02": (0.02, 0.02), "fixed-0.05": (0.05, 0.05)}
CLOSED = "gap_closed"


def variants(context: Context) -> list[Variant]:
    """Methods ``clip`` and ``e2`` with a learnt temperature, and with each schedule against their own."""
    found = []
    for method in ("clip", "e2"):
        found.append(Variant(method, {"method": method}))
        for name, schedule in TEMPERATURES.items():
            settings = {"method": method, "loss.temperature": list(schedule)}
            found.append(Variant(f"{method}-{name}", settings, against=(method,)))
    return found


def gap_and_retrieval(encoder: Encoder, catalogue: Catalogue, context: Context) -> StudyMeasurement:
    """Measures recalls over the full gallery; ``gap``, ``alignment`` ... of first photos and texts; ``gap_closed``."""
    remembered = encoded_once(encoder)
    items = read_items(catalogue, context.text)
    measured = retrieval_of(answer(remembered, items, None), len(catalogue))
    photos, texts = (np.unique(products, return_index=True)[1] for products in (items.image_products, items.text_products))
    values = figures(remembered.encode_images(items.images)[photos], remembered.encode_texts(items.texts)[texts])
    values[CLOSED] = 100 * (1 - values["relative_gap"])
    metrics = {name: float(value.mean()) for name, value in values.items()}
    return StudyMeasurement({**measured.metrics, **metrics}, {**measured.items, **values})


def draw(record: Mapping[str, Any], path: Path) -> None:
    """Draws SumR over the gap, with an arrow from each method's learnt temperature to its schedules."""
    metrics, ci95 = record["metrics"], record["ci95"]
    paint = colours(label for label, variant in record["variants"].items() if "loss.temperature" not in variant["settings"])
    with figure_file(path, (6.8, 4.6)) as (axes,):
        for label in metrics:
            x, y = metrics[label]["relative_gap"], metrics[label]["SumR"]
            method = record["variants"][label]["settings"]["method"]
            colour = paint.get(method, GREY)
            axes.plot(ci95[label]["relative_gap"], [y, y], color=colour, linewidth=1.2, alpha=0.6)
            axes.plot([x, x], ci95[label]["SumR"], color=colour, linewidth=1.2, alpha=0.6)
            axes.plot(x, y, "o", color=colour, markersize=7)
            offset, align = ((-6, 5), "right") if label == method else ((6, 5), "left")  # a schedule may lie near its method
            axes.annotate(label, (x, y), xytext=offset, textcoords="offset points", ha=align, fontsize=9, parse_math=False)
            if label != method and method in metrics:
                start = metrics[method]["relative_gap"], metrics[method]["SumR"]
                axes.annotate("", (x, y), start, arrowprops={"arrowstyle": "->", "color": colour, "alpha": 0.5})
        axes.set(xlabel="modality gap, as a share of the distance of random pairs", ylabel="SumR")
        axes.set_title(measured_on(record), parse_math=False)
        axes.grid(True)
        axes.margins(x=0.15)  # room for the names


STUDY = TrainedStudy(
    name="gap",
    title="Temperature and the modality gap",
    question="Do temperatures that narrow the modality gap in training help retrieval?",
    variants=variants,
    measure=gap_and_retrieval,
    columns=(CLOSED, "image_to_text_R@1", "text_to_image_R@1", "SumR"),
    figure=draw,
    note="Gap closed: 100 minus the gap in percent of the root-mean-square distance of random pairs.",
)

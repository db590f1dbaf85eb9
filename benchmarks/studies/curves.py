"""Draws training curves of a study: SumR on val during training, seeds thin, a variant's mean thick."""

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from e2.benchmarks.core.figures import colours, figure_file

Curve = list[tuple[float, float]]  # x, SumR

STROKES, MARKERS = ("-", "--", ":", "-."), "os^DvP"  # distinguishes variants of one colour


def draw_curves(record: Mapping[str, Any], path: Path) -> None:
    """Draws the ``history`` of the record's runs."""
    counted, histories = learning_curves(record)
    series = {label: variant["series"] or label for label, variant in record["variants"].items()}
    paint = colours(series.values())
    used: list[str] = []
    with figure_file(path, (7.5, 4.2)) as (axes,):
        for label, curves in histories.items():
            colour = paint[series[label]]
            place = used.count(colour)
            stroke, marker = STROKES[place % len(STROKES)], MARKERS[place % len(MARKERS)]
            used.append(colour)
            for curve in curves:
                axes.plot(*zip(*curve, strict=True), stroke, color=colour, linewidth=0.8, alpha=0.35)
            shared = sorted(set.intersection(*({step for step, _ in curve} for curve in curves)))
            values = [dict(curve) for curve in curves]
            mean = [np.mean([each[step] for each in values]) for step in shared]
            axes.plot(shared, mean, stroke, marker=marker, markersize=3.5, color=colour, linewidth=2, label=label)
        axes.set(xlabel=counted, ylabel="SumR on val")
        axes.set_title(f"{record['title']}: training")
        axes.grid(True)
        axes.legend(fontsize=9, ncols=1 + len(histories) // 8)


def learning_curves(record: Mapping[str, Any]) -> tuple[str, dict[str, list[Curve]]]:
    """Label of the x axis and each variant's curves: over steps, or over products if batches differ."""
    common = record["model"]["data"]["batch_size"]
    batch = {label: variant["settings"].get("data.batch_size", common) for label, variant in record["variants"].items()}
    products = len(set(batch.values())) > 1
    curves: dict[str, list[Curve]] = defaultdict(list)
    for run in record["runs"]:
        each = batch[run["variant"]] if products else 1
        curves[run["variant"]].append([(step * each, value) for step, value in run["history"]])
    return "products seen" if products else "step", curves

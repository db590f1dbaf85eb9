"""Training curves of a study: SumR on val by step, each seed thin, the mean of a variant thick."""

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.study.figures import colours, figure_file

STYLES = ("-", "--", ":", "-.")  # more variants than colours: the next round of colours in another stroke


def draw_curves(record: Mapping[str, Any], path: Path) -> None:
    """From the ``history`` of the record's runs."""
    histories: dict[str, list[list[tuple[float, float]]]] = defaultdict(list)
    for run in record["runs"]:
        histories[run["variant"]].append([(step, value) for step, value in run["history"]])
    paint = colours(histories)
    used: list[str] = []
    with figure_file(path, (7.5, 4.2)) as (axes,):
        for label, curves in histories.items():
            stroke = STYLES[used.count(paint[label]) % len(STYLES)]
            used.append(paint[label])
            for curve in curves:
                axes.plot(*zip(*curve, strict=True), stroke, color=paint[label], linewidth=0.8, alpha=0.35)
            shared = sorted(set.intersection(*({step for step, _ in curve} for curve in curves)))
            values = [dict(curve) for curve in curves]
            mean = [np.mean([each[step] for each in values]) for step in shared]
            axes.plot(shared, mean, stroke, marker="o", markersize=3.5, color=paint[label], linewidth=2, label=label)
        axes.set(xlabel="step", ylabel="SumR on val")
        axes.set_title(f"{record['title']}: training")
        axes.grid(True)
        axes.legend(fontsize=9, ncols=1 + len(histories) // 8)

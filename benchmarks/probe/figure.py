"""Draws linear probes' accuracies by entity and encoder, beside always predicting the most frequent value."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from e2.benchmarks.core.comparison import Comparison, short_names
from e2.benchmarks.core.figures import GREY, INK, colours, figure_file, label_groups, scores_at
from e2.benchmarks.core.names import measured_on
from e2.counting import counted

NAME = "probe"
Scores = Mapping[str, Mapping]  # name -> {"metrics": ..., "ci95": ...}


def save_bars(comparison: Comparison, out: Path) -> None:
    """Writes ``out/probe.png``, ``.svg`` and ``.pdf``."""
    first = comparison.results[0]
    title = f"{measured_on(first)}, {counted(first['n'], 'product')}"
    scores = dict(zip(short_names(comparison), comparison.results, strict=True))
    draw_probes(scores, list(first["entities"]), title, out / NAME)


def draw_probes(scores: Scores, entities: Sequence[str], title: str, path: Path) -> None:
    """Draws a group of bars per entity; pale, hatched ones are those of region embeddings, if an encoder has some."""
    paint, places = colours(scores), np.arange(len(entities))
    parts = {part: [f"{entity}{part}_accuracy" for entity in entities] for part in ("", "_region")}
    bars = [(name, part) for name in scores for part in parts if not {*parts[part]}.isdisjoint(scores[name]["metrics"])]
    width = 0.8 / len(bars)
    with figure_file(path, (max(6.4, 1.6 + (0.45 + 0.26 * len(bars)) * len(entities)), 4.2)) as (axes,):
        for number, (name, part) in enumerate(bars):
            x = places + (number - (len(bars) - 1) / 2) * width
            values, bounds = scores_at(scores[name], parts[part])
            style: dict[str, Any] = {"alpha": 0.9, "label": name}
            if part:
                style = {"alpha": 0.45, "hatch": "///", "label": f"{name}, its region"}
            axes.bar(x, values, 0.92 * width, color=paint[name], edgecolor="white", linewidth=0, **style)
            axes.vlines(x, *bounds.T, color=INK, linewidth=1.2)
        majority, _ = scores_at(next(iter(scores.values())), [f"{entity}_majority" for entity in entities])
        left, right = places - 0.44, places + 0.44
        axes.hlines(majority, left, right, color=GREY, linestyle=(0, (3, 2)), label="commonest value", zorder=3)
        label_groups(axes, entities)
        axes.set(ylabel="accuracy of a linear probe, %", ylim=(0, None), xlim=(-0.6, len(entities) - 0.4))
        axes.set_title(title, parse_math=False)
        axes.figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=3)

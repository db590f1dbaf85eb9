"""Figure of `e2 evaluate detail`: recall by number of fields in the query, and each field's gain."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes

from e2.benchmarks.core.comparison import Comparison, short_names
from e2.benchmarks.core.figures import GREY, INK, colours, draw_curve, figure_file, scores_at
from e2.benchmarks.core.names import measured_on
from e2.counting import counted

NAME = "detail"
K = 10  # k of the recalls drawn

Scores = Mapping[str, Mapping]  # name -> {"metrics": ..., "ci95": ...}


def save_curves(comparison: Comparison, out: Path) -> None:
    """Writes ``out/detail.png``, ``.svg`` and ``.pdf``."""
    first = comparison.results[0]
    scores = dict(zip(short_names(comparison), comparison.results, strict=True))
    title = f"{measured_on(first)}, {counted(first['n_queries'], 'query')}"
    draw_detail(scores, first["order"], title, out / NAME, cut=[step["texts_cut"] for step in first["steps"]])


def draw_detail(scores: Scores, order: Sequence[str], title: str, path: Path, cut: Sequence[float] = ()) -> None:
    """Draws recall by number of fields (left) and each field's gain (right).

    Args:
        cut: percent of texts truncated at the context length, for each number of fields.
    """
    paint, words = colours(scores), [field.replace("_", " ") for field in order]
    with figure_file(path, (7.2 + 1.0 * len(order), 4.4), 2) as (curves, gains):
        for name, one in scores.items():
            for kind, style in (("exact", "-"), ("matching", (0, (4, 2)))):
                recalls = scores_at(one, [f"{kind}_R@{K}_{step}" for step in range(1, len(order) + 1)])
                draw_curve(curves, range(len(order)), *recalls, f"{name}, {kind}", paint[name], style)
        _mark_cut(curves, cut)
        curves.set_xticks(
            range(len(order)), [words[0], *(f"+ {word}" for word in words[1:])], rotation=20, ha="right", parse_math=False
        )
        curves.set(ylabel=f"text to image R@{K}, %", ylim=(0, None))
        curves.grid(True)
        curves.set_title(title, parse_math=False)
        _draw_gains(gains, scores, order, paint)
        gains.set_yticks(range(len(order)), words, parse_math=False)
        curves.figure.legend(*curves.get_legend_handles_labels(), loc="outside lower center", ncols=len(scores), fontsize=9)


def _mark_cut(axes: Axes, cut: Sequence[float]) -> None:
    """Marks the number of fields from which texts are truncated at the context length, if any."""
    first = next((place for place, share in enumerate(cut) if share > 0), None)
    if first is not None:
        axes.axvline(first, color=GREY, linewidth=1, linestyle=(0, (1, 2)))
        said = f"{cut[first]:.1f} % of texts cut"
        axes.annotate(said, (first, 1), xycoords=("data", "axes fraction"), rotation=90, va="top", ha="right", color=GREY)


def _draw_gains(axes: Axes, scores: Scores, order: Sequence[str], paint: Mapping[str, str]) -> None:
    height = 0.8 / len(scores)
    for place, (name, one) in enumerate(scores.items()):
        y = np.arange(len(order)) + (place - (len(scores) - 1) / 2) * height
        values, bounds = scores_at(one, [f"gain_{field}" for field in order])
        axes.barh(y, values, 0.9 * height, color=paint[name], alpha=0.9)
        axes.hlines(y, *bounds.T, color=INK, linewidth=1.2)
    axes.axvline(0, color=GREY, linewidth=1)
    axes.invert_yaxis()
    axes.tick_params(axis="y", length=0)
    axes.grid(True, axis="x")
    axes.set_xlabel("exact recall lost without the field, points")
    axes.set_title("leaving one field out")

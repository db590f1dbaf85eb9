"""Figure of `e2 evaluate gap`: both clouds of each encoder in a plane, and the effect of narrowing the gap."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes

from e2.benchmarks.core.comparison import Comparison, short_names
from e2.benchmarks.core.figures import GREY, INK, colours, draw_curve, figure_file
from e2.benchmarks.gap.metrics import Clouds
from e2.counting import counted

NAME = "gap"
IMAGE, TEXT = "#0072B2", "#D55E00"


def save_gap(comparison: Comparison, clouds: Sequence[Clouds], out: Path) -> None:
    """Writes ``out/gap.png``, ``.svg`` and ``.pdf``: a panel per encoder, one of SumR, one of CIDEr if there are captions."""
    records, names = comparison.results, short_names(comparison)
    captioned = any(record["captioners"] for record in records)
    panels = len(records) + 1 + captioned
    paint = colours(names)
    with figure_file(out / NAME, (3.4 * panels, 3.6), panels) as axes:
        for panel, record, name, cloud in zip(axes, records, names, clouds, strict=False):
            _draw_clouds(panel, cloud, f"{name}: gap {record['metrics']['gap']:.2f}")
        axes[0].legend(loc="best", fontsize=9, handletextpad=0.2)
        retrieval = axes[len(records)]
        for record, name in zip(records, names, strict=True):
            _draw_sweep(retrieval, record["narrowing"]["sweep"], "SumR", name, paint[name])
        _finish(retrieval, "retrieval, SumR")
        if captioned:
            for record, name in zip(records, names, strict=True):
                for one in record["captioners"]:
                    style = {"decap": "-", "capdec": "--"}.get(one["method"], ":")
                    _draw_sweep(axes[-1], one["sweep"], "CIDEr", f"{name}, {one['method']}", paint[name], style)
            captioned = next(record["captioners"][0]["n"] for record in records if record["captioners"])
            _finish(axes[-1], f"captions of {counted(captioned, 'product')}, CIDEr")


def _draw_clouds(axes: Axes, cloud: Clouds, title: str) -> None:
    for points, colour, marker, label in ((cloud.images, IMAGE, "o", "photos"), (cloud.texts, TEXT, "^", "texts")):
        axes.scatter(points[:, 0], points[:, 1], s=9, color=colour, marker=marker, alpha=0.45, linewidths=0, label=label)
    axes.set_aspect("equal", adjustable="datalim")
    axes.set(xlabel=f"component 1 ({cloud.shares[0]:.0%} of variance)", ylabel=f"component 2 ({cloud.shares[1]:.0%})")
    axes.grid(True)
    axes.set_title(title, parse_math=False)


def _draw_sweep(axes: Axes, rows: Sequence[Mapping[str, Any]], metric: str, label: str, colour: str, style: str = "-") -> None:
    values, bounds = [row["metrics"][metric] for row in rows], [row["ci95"] for row in rows]
    draw_curve(axes, [row["amount"] for row in rows], values, bounds, label, colour, style)


def _finish(axes: Axes, title: str) -> None:
    axes.axvline(0, color=GREY, linewidth=1)
    axes.axvline(1, color=GREY, linewidth=1, linestyle=(0, (3, 2)))
    axes.set_xlabel("share of the gap closed", color=INK)
    axes.set_ylim(bottom=0)
    axes.grid(True)
    axes.legend(loc="lower left", fontsize=9)
    axes.set_title(title)

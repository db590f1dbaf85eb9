"""Figure of an ablation: each variant's headline metric with its interval, beside the paired differences."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes

from e2.benchmarks.core.figures import GREY, INK, colours, figure_file
from e2.benchmarks.core.names import measured_on
from e2.benchmarks.studies.tables import in_words


def draw_bars(record: Mapping[str, Any], path: Path) -> None:
    """Draws means over seeds from zero (left) and, if any, the differences (right), which such bars hide."""
    pairs = record["differences"]
    height = 1.3 + 0.42 * max(len(record["metrics"]), len(pairs))
    with figure_file(path, (10 if pairs else 5.5, height), 1 + bool(pairs)) as axes:
        _draw_values(axes[0], record)
        if pairs:
            _draw_differences(axes[1], record)


def _draw_values(axes: Axes, record: Mapping[str, Any]) -> None:
    headline, labels = record["headline"], list(record["metrics"])
    paint = colours(labels)
    for place, label in enumerate(labels):
        value, bounds = record["metrics"][label][headline], record["ci95"][label].get(headline)
        axes.barh(place, value, height=0.62, color=paint[label], alpha=0.85)
        if bounds:
            axes.plot(bounds, [place, place], color=INK, linewidth=1.4)
        seeds = [run["metrics"][headline] for run in record["runs"] if run["variant"] == label]
        axes.plot(seeds, [place] * len(seeds), "o", color="white", markeredgecolor=INK, markersize=4)
    _rows(axes, labels)
    axes.set_xlabel(f"{in_words(headline)}\n(bar: mean, dot: one seed)")
    axes.set_title(measured_on(record))


def _draw_differences(axes: Axes, record: Mapping[str, Any]) -> None:
    headline, pairs = record["headline"], record["differences"]
    paint = colours(record["metrics"])
    for place, pair in enumerate(pairs):
        bounds, value = pair["ci95"].get(headline), pair["metrics"][headline]
        if bounds:
            axes.plot(bounds, [place, place], color=paint[pair["second"]], linewidth=2.2, solid_capstyle="round")
        axes.plot(value, place, "o", color=paint[pair["second"]], markersize=7)
        axes.plot(pair["by_seed"][headline], [place] * len(pair["by_seed"][headline]), "|", color=INK, markersize=8)
    axes.axvline(0, color=GREY, linewidth=1)
    _rows(axes, [f"{pair['second']} − {pair['first']}" for pair in pairs])
    axes.set_xlabel(f"difference of {in_words(headline)}\n(dot: mean, tick: one seed)")
    axes.set_title("paired differences")


def _rows(axes: Axes, labels: list[str]) -> None:
    axes.set_yticks(range(len(labels)), labels)
    axes.tick_params(axis="y", length=0)
    axes.invert_yaxis()
    axes.grid(True, axis="x")

"""Figure of a study over a number (batch size, parameters): a curve per series, beside the paired differences."""

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, NullLocator

from e2.benchmarks.core.figures import GREY, colours, figure_file
from e2.benchmarks.core.names import measured_on
from e2.benchmarks.studies.tables import in_words

Point = tuple[float, float, list[float] | None]  # x, value, interval


def draw_lines(record: Mapping[str, Any], path: Path, *, over: str, label: str) -> None:
    """Draws curves with intervals ``over`` the variants' ``x`` or ``parameters``; those without a series are horizontal."""
    paint = colours(variant["series"] or name for name, variant in record["variants"].items())
    with figure_file(path, (10.5, 4.2), 2) as (values, differences):
        _draw_values(values, record, over, paint)
        _draw_differences(differences, record, over, paint)
        for axes in (values, differences):
            axes.set_xlabel(label)
            _log_axis(axes, {variant[over] for variant in record["variants"].values() if variant["series"]})
            axes.grid(True)
            if axes.get_legend_handles_labels()[0]:
                axes.legend(fontsize=9)


def _draw_values(axes: Axes, record: Mapping[str, Any], over: str, paint: Mapping[str, str]) -> None:
    headline = record["headline"]
    curves: dict[str, list[Point]] = defaultdict(list)
    for name, variant in record["variants"].items():
        value, bounds = record["metrics"][name][headline], record["ci95"][name].get(headline)
        if variant["series"]:
            curves[variant["series"]].append((variant[over], value, bounds))
        else:
            axes.axhline(value, color=paint[name], linestyle="--", linewidth=1.4, label=name)
    for series, points in curves.items():
        _curve(axes, points, paint[series], series)
    axes.set_ylabel(in_words(headline))
    axes.set_title(measured_on(record))


def _draw_differences(axes: Axes, record: Mapping[str, Any], over: str, paint: Mapping[str, str]) -> None:
    headline, variants = record["headline"], record["variants"]
    curves: dict[tuple[str, str], list[Point]] = defaultdict(list)
    for pair in record["differences"]:
        series = variants[pair["second"]]["series"]
        other = variants[pair["first"]]["series"] or pair["first"]
        if series:
            point = variants[pair["second"]][over], pair["metrics"][headline], pair["ci95"].get(headline)
            curves[series, other].append(point)
    strokes = dict(zip(dict.fromkeys(other for _, other in curves), ("-", "--", ":", "-."), strict=False))
    for (series, other), points in curves.items():
        _curve(axes, points, paint[series], f"{series} − {other}", strokes.get(other, "-"))
    axes.axhline(0, color=GREY, linewidth=1)
    axes.set_ylabel(f"difference of {in_words(headline)}")
    axes.set_title("paired differences")


def _curve(axes: Axes, points: list[Point], colour: str, label: str, stroke: str = "-") -> None:
    xs, ys, bounds = zip(*sorted(points, key=lambda point: point[0]), strict=True)
    inside = colour if stroke == "-" else "white"  # a curve of one point shows no line
    axes.plot(xs, ys, stroke, marker="o", color=colour, markerfacecolor=inside, markersize=5, linewidth=1.8, label=label)
    if all(bounds):
        lows, highs = zip(*bounds, strict=True)
        axes.fill_between(xs, lows, highs, color=colour, alpha=0.12, linewidth=0)
        axes.vlines(xs, lows, highs, color=colour, alpha=0.6, linewidth=1)


def _log_axis(axes: Axes, ticks: set[float]) -> None:
    """Makes a log axis with ticks at the measured values."""
    axes.set_xscale("log")
    axes.set_xticks(sorted(ticks))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x / 1e6:.3g} M" if x >= 1e5 else f"{x:,.0f}"))
    axes.xaxis.set_minor_locator(NullLocator())

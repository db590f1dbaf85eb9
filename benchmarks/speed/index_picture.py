"""Draws the growth of an index: ``python -m e2.benchmarks.speed.index_picture PICTURE.png metrics.json ...``.

Each file is a result of `e2 speed index-growth`; points of the same width are joined.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure  # drawn without pyplot: no window, no global state
from matplotlib.ticker import PercentFormatter

from e2.files import atomic_path

SHADES = {"p50_ms": 1.0, "p95_ms": 0.6, "p99_ms": 0.3}
COLOURS = ("#30638e", "#c1666b", "#5b8c5a")


def draw(files: Sequence[Path], path: Path) -> None:
    """Draws build time, latency, recall and memory over the number of products."""
    records = [json.loads(file.read_text(encoding="utf-8")) for file in files]
    points: dict[int, list[dict]] = {}
    for record in records:
        points.setdefault(record["settings"]["width"], []).extend(record["details"]["points"])
    figure = Figure(figsize=(11, 6), layout="constrained")
    build, latency, recall, memory = figure.subplots(2, 2).ravel()
    for colour, (width, found) in zip(COLOURS, sorted(points.items()), strict=False):
        found = sorted(found, key=lambda point: point["products"])
        products = [point["products"] for point in found]
        style = {"color": colour, "marker": "o"}
        build.loglog(products, [point["write_s"] + point["finish_s"] for point in found], label=f"width {width}", **style)
        for name, shade in SHADES.items():
            values = [point["all"][name] for point in found]
            latency.loglog(products, values, label=f"{name[:3]}, width {width}", alpha=shade, **style)
        for name, dashes in (("all", "-"), ("a tenth", "--"), ("a hundredth", ":")):
            values = [point[name]["recall"] for point in found]
            recall.semilogx(products, values, dashes, label=f"{name}, width {width}", **style)
        memory.loglog(products, [point["disk_bytes"] / 1e6 for point in found], label=f"disk, width {width}", **style)
        peak = [point["search_peak_bytes"] / 1e6 for point in found]
        memory.loglog(products, peak, "--", label=f"peak of a searching process, width {width}", **style)
    _label(build, "build (without embedding)", "seconds")
    _label(latency, "one query, best 20", "milliseconds")
    _label(recall, "recall against exact search, of all and under filters", "")
    _label(memory, "size", "MB")
    recall.set_ylim(0.9, 1.005)
    recall.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=110, facecolor="white")


def _label(axes: Axes, title: str, unit: str) -> None:
    axes.set(title=title, xlabel="products", ylabel=unit)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=7)


if __name__ == "__main__":
    draw([Path(name) for name in sys.argv[2:]], Path(sys.argv[1]))

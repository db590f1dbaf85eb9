"""The figure of `e2 evaluate grounding`: the pointing game by entity, selection tokens beside the maps that need none."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.comparison import Comparison, short_names
from benchmarks.grounding_maps import TOKENS
from benchmarks.study.figures import COLOURS, GREY, INK, figure_file

NAME = "grounding"
CHANCE, CHANCE_LABEL = "random", "chance"
HATCHES = ("", "///", "...", "xxx")  # one per encoder; colours tell the maps apart
PAINT = dict(zip((TOKENS, "attention", "rollout", "gradient", "grad-cam", "centre"), (COLOURS[1], *COLOURS[2:6], GREY)))  # noqa: B905


def save_bars(comparison: Comparison, out: Path) -> None:
    """Writes ``out/grounding.png``, ``.svg`` and ``.pdf``: the strict game left, with tolerance right; dashes are chance.

    Chance is drawn bar by bar: it depends on an encoder's grid, and on its own windows where these are the truth.
    """
    records, names = comparison.results, short_names(comparison)
    entities = list(records[0]["places"])
    bars = [(name, record, own) for name, record in zip(names, records, strict=True) for own in PAINT if _has(record, own)]
    with figure_file(out / NAME, (4.5 + 0.16 * len(bars) * len(entities), 4.6), 2) as panels:
        for axes, measure, title in zip(
            panels, ("pointing", "near"), ("pointing game", "tolerance of 15 of 224 pixels"), strict=True
        ):
            _draw(axes, measure, bars, entities, names)
            axes.set_title(title)
        panels[0].set_ylabel("hits, %")
        panels[0].figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=4, fontsize=8)


def _draw(axes, measure: str, bars: Sequence[tuple[str, dict[str, Any], str]], entities: list[str], names: list[str]) -> None:
    width = 0.84 / len(bars)
    for place, (name, record, own) in enumerate(bars):
        x = np.arange(len(entities)) + (place - (len(bars) - 1) / 2) * width
        values = [record["metrics"].get(f"{measure}/{own}/{entity}", np.nan) for entity in entities]
        bounds = np.array([record["ci95"].get(f"{measure}/{own}/{entity}", (np.nan, np.nan)) for entity in entities])
        label = own if len(names) == 1 else f"{name}: {own}"
        hatch = HATCHES[names.index(name) % len(HATCHES)]
        axes.bar(x, values, 0.92 * width, color=PAINT[own], hatch=hatch, edgecolor="white", linewidth=0, label=label)
        axes.vlines(x, *bounds.T, color=INK, linewidth=1)
        chance = [record["metrics"][f"{measure}/{CHANCE}/{entity}"] for entity in entities]
        known = {"label": CHANCE_LABEL} if place == len(bars) - 1 else {}
        axes.hlines(chance, x - width / 2, x + width / 2, color=INK, linestyle=(0, (2, 1)), linewidth=1.2, zorder=3, **known)
    axes.set_xticks(range(len(entities)), [entity.replace("_", " ") for entity in entities], parse_math=False)
    axes.tick_params(axis="x", length=0)
    axes.set_ylim(0, 100)
    axes.grid(True, axis="y")


def _has(record: dict[str, Any], name: str) -> bool:
    return any(metric.split("/", 2)[1] == name for metric in record["metrics"])

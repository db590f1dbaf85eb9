"""Figure of `e2 evaluate grounding`: the pointing game by entity, selection tokens beside other maps."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from textwrap import fill
from typing import Any, NamedTuple

import numpy as np

from e2.benchmarks.core.comparison import Comparison, short_names
from e2.benchmarks.core.figures import COLOURS, GREY, INK, colours, figure_file, label_groups, scores_at
from e2.benchmarks.grounding.maps import TOKENS, maps_of, own_map

NAME = "grounding"
CHANCE, CHANCE_LABEL = "random", "chance"
NAME_WIDTH = 12  # letters of an entity's name per line
HATCHES = ("", "///", "...")  # one per encoder; colours distinguish the maps
PAINT = dict(zip((TOKENS, "attention", "rollout", "gradient", "grad-cam", "centre"), (COLOURS[1], *COLOURS[2:6], GREY)))  # noqa: B905


class Bar(NamedTuple):
    """Bars of one map of one encoder, one per entity."""

    label: str
    record: Mapping[str, Any]
    map: str
    colour: str
    hatch: str = ""


def save_bars(comparison: Comparison, out: Path) -> None:
    """Writes ``out/grounding.png``, ``.svg`` and ``.pdf``: the strict game left, with tolerance right; dashes are chance.

    Up to three encoders show all their maps, more show one each. Chance is drawn per bar: it depends on an encoder's grid and,
    if used, its windows.
    """
    records, names = comparison.results, short_names(comparison)
    entities = list(records[0]["places"])
    bars = (all_maps if len(names) <= len(HATCHES) else one_map_each)(names, records)
    width = max(10.0, 2.4 * len(entities), 4.5 + 0.16 * len(bars) * len(entities))  # room for the names
    with figure_file(out / NAME, (width, 4.6), 2) as panels:
        titles = {"pointing": "pointing game", "near": "tolerance of 15 of 224 pixels"}
        for axes, (measure, title) in zip(panels, titles.items(), strict=True):
            _draw(axes, measure, bars, entities)
            axes.set_title(title)
        panels[0].set_ylabel("hits, %")
        panels[0].figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=4, fontsize=8)


def all_maps(names: Sequence[str], records: Sequence[Mapping[str, Any]]) -> list[Bar]:
    """Gives each map a colour and each encoder a hatch."""
    return [
        Bar(own if len(names) == 1 else f"{name}: {own}", record, own, PAINT[own], hatch)
        for name, record, hatch in zip(names, records, HATCHES)  # noqa: B905 - fewer names than hatches
        for own in PAINT
        if own in maps_of(record["metrics"])
    ]


def one_map_each(names: Sequence[str], records: Sequence[Mapping[str, Any]]) -> list[Bar]:
    """Chooses an encoder's tokens, or else its gradient map: both use the tag."""
    paint = colours(names)
    own = [own_map(record["metrics"]) for record in records]
    return [Bar(f"{name}: {map_}", record, map_, paint[name]) for name, record, map_ in zip(names, records, own, strict=True)]


def _draw(axes, measure: str, bars: Sequence[Bar], entities: Sequence[str]) -> None:
    width = 0.84 / len(bars)
    for place, bar in enumerate(bars):
        x = np.arange(len(entities)) + (place - (len(bars) - 1) / 2) * width
        values, bounds = scores_at(bar.record, [f"{measure}/{bar.map}/{entity}" for entity in entities])
        axes.bar(x, values, 0.92 * width, color=bar.colour, hatch=bar.hatch, edgecolor="white", linewidth=0, label=bar.label)
        axes.vlines(x, *bounds.T, color=INK, linewidth=1)
        chance, _ = scores_at(bar.record, [f"{measure}/{CHANCE}/{entity}" for entity in entities])
        known = {"label": CHANCE_LABEL} if place == len(bars) - 1 else {}
        axes.hlines(chance, x - width / 2, x + width / 2, color=INK, linestyle=(0, (2, 1)), linewidth=1.2, zorder=3, **known)
    label_groups(axes, [fill(entity.replace("_", " "), NAME_WIDTH) for entity in entities])
    axes.set_ylim(0, 100)

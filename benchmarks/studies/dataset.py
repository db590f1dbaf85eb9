"""Study `dataset`: statistics and long tails of several catalogues side by side (the paper's table 6). Nothing is trained."""

import itertools
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import NullFormatter, StrMethodFormatter

from e2.benchmarks.core.figures import COLOURS, FIGURE, figure_file
from e2.benchmarks.core.names import short_names
from e2.benchmarks.core.records import NAME
from e2.benchmarks.reports.tables import Cell, Table, write_texts
from e2.benchmarks.studies.base import Context
from e2.benchmarks.studies.tables import LATEX, MARKDOWN
from e2.benchmarks.studies.trained import refuse_another
from e2.counting import counted
from e2.data import splits_of
from e2.data.info import catalogue_info, tag_counts
from e2.errors import InputError
from e2.files import write_json
from e2.version import __version__

TOP = 0.1  # share of an entity's values whose products are counted together
PANELS = 4  # most entities in the figure

Counts = Mapping[str, Counter[str]]  # entity -> value -> products


class DatasetStudy:
    """Study of catalogues, of which nothing is trained."""

    name = "dataset"
    title = "The catalogues"
    question = "How large are the catalogues, how long their texts, and how long the tails of their tags?"

    def run(self, context: Context) -> dict[str, Any]:
        """Reads every split of every catalogue; decodes photos only in the check on opening.

        Raises:
            InputError: a catalogue given twice, or one that cannot be read.
        """
        import open_clip  # imported here as it takes seconds, and only the tokenizer is needed

        start = time.perf_counter()
        if len(set(context.data)) < len(context.data):
            raise InputError("--data names a catalogue twice; give each once")
        tokenizer = open_clip.get_tokenizer("ViT-B-32")
        infos, counts = {}, {}
        for spec in context.data:
            catalogues = {split: context.open(split, spec) for split in splits_of(spec)}
            infos[spec] = catalogue_info(catalogues, tokenizer, tokenizer.context_length)
            counts[spec] = tag_counts(catalogues.values(), infos[spec]["tags"])
        metrics = {spec: statistics(infos[spec], counts[spec]) for spec in infos}
        identity = {
            "benchmark": "study",
            "protocol": self.name,
            "dataset": ", ".join(infos),
            "n": sum(each["products"] for each in metrics.values()),
        }
        refuse_another(context.out / NAME, identity)
        record = {
            **identity,
            **{"title": self.title, "question": self.question, "split": "all", "text": "caption", "seed": None, "model": None},
            **{"metrics": metrics, "ci95": {}, "info": infos, "version": __version__},
        }
        tables = [statistics_table(self.title, metrics)]
        write_texts(context.out, (MARKDOWN, LATEX), tables, f"# {self.title}\n\n{self.question}\n\n")
        draw_tails(counts, context.out / FIGURE)
        write_json(context.out / NAME, {**record, "seconds": round(time.perf_counter() - start, 1)})
        return record


def statistics(info: Mapping[str, Any], counts: Counts) -> dict[str, float]:
    """Sizes over all splits and, per entity: values, how many occur on one product only, and the weight of the head."""
    splits = info["splits"].values()
    found = {name: sum(split[name] for split in splits) for name in ("products", "images", "captions")}
    for unit in ("words", "tokens"):
        total = sum(split["captions"] * split[f"caption_{unit}_mean"] for split in splits)
        found[f"{unit} a caption"] = total / found["captions"]
    for kind, name in (("caption", "captions"), ("full", "full texts")):
        cut = sum(split["over_context_length"][kind] for split in splits)
        found[f"{name} cut at the context length, %"] = 100 * cut / found["captions"]
    for entity, values in counts.items():
        sizes = np.sort(list(values.values()))[::-1]
        head = sizes[: max(1, round(TOP * len(sizes)))]
        found[f"{entity}: values"] = len(sizes)
        found[f"{entity}: values of a single product"] = int((sizes == 1).sum())
        found[f"{entity}: products of the top {TOP:.0%} of values, %"] = 100 * float(head.sum() / max(1, sizes.sum()))
        found[f"{entity}: products without, %"] = 100 * (1 - float(sizes.sum()) / found["products"])
    return found


def statistics_table(title: str, metrics: Mapping[str, Mapping[str, float]]) -> Table:
    """Tabulates a row per statistic, a column per catalogue."""
    names = dict.fromkeys(name for found in metrics.values() for name in found)
    rows = {name: [Cell(_words(found.get(name))) for found in metrics.values()] for name in names}
    note = "All splits together; tokens are CLIP's, the context length is 77."
    return Table(title, short_names(metrics), rows, note, "statistic")


def _words(value: float | None) -> str:
    return "none" if value is None else f"{value:,}" if isinstance(value, int) else f"{value:.1f}"


def draw_tails(counts: Mapping[str, Counts], path: Path) -> None:
    """Draws products per value by the value's rank for each entity (brand first), a curve per catalogue."""
    entities = list(dict.fromkeys(entity for found in counts.values() for entity in found))
    entities = sorted(entities, key=lambda entity: entity != "brand")[:PANELS]
    if not entities:
        return
    with figure_file(path, (1 + 3.6 * len(entities), 3.8), len(entities)) as panels:
        names = short_names(counts)
        for axes, entity in zip(panels, entities, strict=True):
            _draw_tail(axes, entity, [found.get(entity, Counter()) for found in counts.values()], names)
        panels[0].set_ylabel("products")


def _draw_tail(axes: Axes, entity: str, catalogues: Sequence[Counter[str]], names: Sequence[str]) -> None:
    for values, name, colour in zip(catalogues, names, itertools.cycle(COLOURS)):  # noqa: B905 - endless colours
        sizes = sorted(values.values(), reverse=True)
        label = f"{name}: {counted(len(sizes), 'value')}"
        axes.plot(range(1, len(sizes) + 1), sizes, "-o", color=colour, markersize=2.5, linewidth=1.2, label=label)
    axes.set(xscale="log", yscale="log", xlabel="rank of the value")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
        axis.set_minor_formatter(NullFormatter())
    axes.set_title(entity)
    axes.grid(True)
    axes.legend(fontsize=8)


STUDY = DatasetStudy()

"""Writes a study's record as Markdown and LaTeX: the variants, then the paired differences."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from e2.benchmarks.core.support import leading
from e2.benchmarks.reports.tables import Cell, Table, difference_cell, value_cell, write_texts

MARKDOWN, LATEX = "table.md", "table.tex"
FIELDS = re.compile(r"(exact|matching)_(R@\d+)_(\d+)")  # names in the detail study
DOMAINS = re.compile(r"(new|old)/([\d.]+)/(.+)")  # names in the forgetting study


def write_tables(record: Mapping[str, Any], out: Path) -> None:
    """Writes ``table.md`` and ``table.tex`` of a training study."""
    write_texts(out, (MARKDOWN, LATEX), study_tables(record), f"# {record['title']}\n\n{record['question']}\n\n")


def scores_of(record: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Each variant's metrics and intervals, as an evaluation's record holds them."""
    return {label: {"metrics": found, "ci95": record["ci95"][label]} for label, found in record["metrics"].items()}


def study_tables(record: Mapping[str, Any]) -> list[Table]:
    """Tables of a training study."""
    return [variants_table(record), *([differences_table(record)] if record["differences"] else [])]


def variants_table(record: Mapping[str, Any]) -> Table:
    """Tabulates a row per variant: mean over seeds (interval) and size beside the backbone; leaders of a column stand out."""
    columns, found = record["columns"], scores_of(record)
    ranked = set(columns) - set(record.get("described", ())) if len(record["metrics"]) > 1 else set()
    best = {name: leading(list(found.values()), list(found), record["differences"], name) for name in ranked}
    rows = {}
    for place, (label, scores) in enumerate(found.items()):
        cells = [value_cell(scores, name, best.get(name) == place) for name in columns]
        rows[label] = [*cells, Cell(added(record["variants"][label]))]
    seeds = ", ".join(map(str, record["seed"]))
    title = "{title}: {dataset}, {split}, {n} products, text {text}".format_map(record) + f", seeds {seeds}"
    note = " ".join(filter(None, [f"Means over seeds; {record['bootstrap']}.", record["note"]]))
    return Table(title, [*map(in_words, columns), "added parameters"], rows, note, corner="variant")


def differences_table(record: Mapping[str, Any]) -> Table:
    """Tabulates a row per pair; differences clear of zero stand out."""
    columns = record["columns"]
    rows = {
        f"{pair['second']} − {pair['first']}": [difference_cell(pair, name) for name in columns]
        for pair in record["differences"]
    }
    note = "Bold: the interval does not hold zero."
    return Table(f"{record['title']}: paired differences", [*map(in_words, columns)], rows, note, corner="difference")


def in_words(metric: str) -> str:
    """Spells out a metric: ``image_to_text_R@1`` -> ``image to text R@1``; ``exact_R@10_5`` -> ``exact R@10, 5 fields``;
    ``old/0.6/SumR`` -> ``SumR on old data (0.6)``.
    """
    words = FIELDS.sub(lambda found: f"{found[1]} {found[2]}, {found[3]} field{'s' * (found[3] != '1')}", metric)
    return DOMAINS.sub(r"\3 on \1 data (\2)", words).replace("_", " ")


def added(facts: Mapping[str, Any]) -> str:
    """Parameters relative to the backbone's: ``82,432 (1.9 %)``."""
    count, share = facts["added_parameters"], facts["added_parameters"] / facts["parameters"]
    return f"{count:,} ({100 * share:.1f} %)" if count else "0"

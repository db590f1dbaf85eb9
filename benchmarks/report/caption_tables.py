"""The caption report's tables: scores by captioner, and the paired differences between them."""

from collections.abc import Sequence
from typing import Any

from benchmarks.report.caption_runs import Run
from benchmarks.report.tables import Cell, Table, difference_cell

LOWER_IS_BETTER, NEITHER = ("repetition",), ("mean_length",)


def score_table(runs: Sequence[Run]) -> Table:
    """Metric by captioner, the best of several marked."""
    names = dict.fromkeys(name for run in runs for name in run.record["metrics"])
    rows = {}
    for name in names:
        values = [run.record["metrics"].get(name) for run in runs]
        best = _best(name, [value for value in values if value is not None]) if len(runs) > 1 else None
        cells = (_cell(run.record, name, value == best) for run, value in zip(runs, values, strict=True))
        rows[name.replace("_", " ")] = list(cells)
    first = runs[0].record
    notes = [
        f"Percent (CIDEr x 100, length in words), 95 % intervals over {first['n']:,} products; tokens: {first['tokenizer']}"
    ]
    notes += [f"{name} is missing: {why}" for name, why in first["missing"].items()]
    for note in dict.fromkeys(note for run in runs for note in run.record["notes"]):
        noted = [run.name for run in runs if note in run.record["notes"]]
        notes.append(note if len(noted) == len(runs) else f"{', '.join(noted)}: {note}")
    if recall := first["reference_tags"].get("tag_recall"):
        notes.append(f"The references themselves name {recall:.1f} % of the tags")
    return Table(f"Scores on {first['dataset']}, {first['split']}", [run.name for run in runs], rows, ". ".join(notes) + ".")


def difference_table(differences: Sequence[dict[str, Any]], runs: Sequence[Run]) -> Table | None:
    """Metric by pair of captioners that were measured together; None where none were."""
    if not differences:
        return None
    short = {run.record["model"]["path"]: run.name for run in runs}
    head = [f"{short[found['second']]} − {short[found['first']]}" for found in differences]
    names = dict.fromkeys(name for found in differences for name in found["metrics"])
    rows = {name.replace("_", " "): [_difference_cell(found, name) for found in differences] for name in names}
    return Table(
        "Paired differences",
        head,
        rows,
        "Same products in every resample; green and red: the 95 % interval does not hold zero.",
    )


def _difference_cell(found: dict[str, Any], name: str) -> Cell:
    return difference_cell(found["metrics"][name], found["ci95"].get(name)) if name in found["metrics"] else Cell("–")


def _cell(record: dict[str, Any], name: str, best: bool) -> Cell:
    if name not in record["metrics"]:
        return Cell("–")
    bounds = record["ci95"].get(name)
    interval = f"{bounds[0]:.1f} to {bounds[1]:.1f}" if bounds else ""
    return Cell(f"{record['metrics'][name]:.1f}", interval, best)


def _best(name: str, values: list[float]) -> float | None:
    if name in NEITHER or len(set(values)) < 2:
        return None
    return min(values) if name in LOWER_IS_BETTER else max(values)

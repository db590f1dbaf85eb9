"""Tables of `e2 report captions`: scores by captioner, and paired differences."""

from collections.abc import Sequence
from typing import Any

from e2.benchmarks.captioning.notes import notes_of
from e2.benchmarks.core.support import leading
from e2.benchmarks.reports.caption_runs import CaptionRun
from e2.benchmarks.reports.tables import Table, difference_cell, value_cell
from e2.counting import counted

LOWER_IS_BETTER, NEITHER = ("repetition",), ("mean_length",)


def score_table(runs: Sequence[CaptionRun], differences: Sequence[dict[str, Any]] = ()) -> Table:
    """Tabulates metrics by captioner; the best is marked if clear of all others, by paired differences if there are any."""
    names = dict.fromkeys(name for run in runs for name in run.record["metrics"])
    rows, records = {}, [run.record for run in runs]
    paths = [record["model"]["path"] for record in records]
    for name in names:
        best = None if name in NEITHER else leading(records, paths, differences, name, lowest=name in LOWER_IS_BETTER)
        rows[name.replace("_", " ")] = [value_cell(run.record, name, place == best) for place, run in enumerate(runs)]
    first = runs[0].record
    scale = "Percent (CIDEr x 100, length in words), 95 % intervals over"
    notes = [f"{scale} {counted(first['n'], 'product')}; tokens: {first['tokenizer']}"]
    if first["n"] < first.get("n_of", first["n"]):
        notes.append(f"Scored are {first['n']:,} of {counted(first['n_of'], 'product')}")
    notes += notes_of({run.name: run.record for run in runs})
    if recall := first["reference_tags"].get("tag_recall"):
        notes.append(f"The references themselves name {recall:.1f} % of the tags")
    return Table(f"Scores on {first['dataset']}, {first['split']}", [run.name for run in runs], rows, ". ".join(notes) + ".")


def difference_table(differences: Sequence[dict[str, Any]], runs: Sequence[CaptionRun]) -> Table | None:
    """Tabulates metrics by pair of captioners evaluated together; None if there are none."""
    if not differences:
        return None
    short = {run.record["model"]["path"]: run.name for run in runs}
    head = [f"{short[found['second']]} − {short[found['first']]}" for found in differences]
    names = dict.fromkeys(name for found in differences for name in found["metrics"])
    rows = {name.replace("_", " "): [difference_cell(found, name) for found in differences] for name in names}
    note = "Same products in every resample; green and red: the 95 % interval lies above or below zero."
    return Table("Paired differences", head, rows, note)

"""Finds results of studies and evaluations, and tabulates them."""

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from markupsafe import Markup

from e2.benchmarks.core.comparison import COMPARISON, Comparison, short_names
from e2.benchmarks.core.names import measured_on
from e2.benchmarks.core.names import short_names as short_specs
from e2.benchmarks.core.records import NAME
from e2.benchmarks.core.support import leader
from e2.benchmarks.grounding.maps import maps_of
from e2.benchmarks.reports.summary import summary
from e2.benchmarks.reports.tables import Table, difference_cell, value_cell
from e2.benchmarks.studies.dataset import statistics_table
from e2.benchmarks.studies.registry import STUDIES
from e2.benchmarks.studies.tables import in_words, scores_of, study_tables
from e2.counting import counted
from e2.errors import InputError

EVALUATIONS = {  # benchmark -> (title, question), in the order of the page
    "retrieval": ("Retrieval", "How often is the right photo, or the right text, among the first?"),
    "probe": ("Linear probes", "How much of each tag can be read off frozen embeddings?"),
    "grounding": ("Grounding", "Does a selection token look where the tag is?"),
    "gap": ("Modality gap", "How far apart do photos and texts lie?"),
    "detail": ("Detail of the query", "How does recall grow as the query says more?"),
}
HEADLINES = {"retrieval": "SumR", "probe": "mean_accuracy"}  # the measure that decides, where there is one
FIGURES = (".svg", ".png", ".pdf")
GROUNDING = {"pointing": "pointing game", "near": "with a tolerance of 15 of 224 pixels"}


@dataclass(frozen=True)
class StudyResult:
    """Results in one folder."""

    folder: Path  # its path
    records: list[dict[str, Any]]  # of one study, or one per encoder
    differences: list[dict[str, Any]]  # paired, second minus first
    label: str = ""  # distinguishes it from others of the same study on the same data; empty if there are none

    @property
    def study(self) -> bool:
        return self.records[0]["benchmark"] == "study"

    @property
    def kind(self) -> str:
        """Name of the study or evaluation."""
        return self.records[0]["protocol" if self.study else "benchmark"]

    @property
    def products(self) -> str:
        """Data and split, for people; the SPECs are in the tables and under Sources."""
        record = self.records[0]
        if self.study and self.kind == "dataset":
            return f"{' and '.join(short_specs(record['metrics']))}, {record['split']}"
        return measured_on(record)

    @property
    def where(self) -> str:
        """Data and split, distinguished from other results of the kind."""
        return self.products + (f" ({self.label})" if self.label else "")

    @property
    def names(self) -> list[str]:
        """Names of an evaluation's encoders."""
        return short_names(Comparison(self.records, self.differences))

    @property
    def title(self) -> str:
        return self.records[0]["title"] if self.study else EVALUATIONS[self.kind][0]

    @property
    def question(self) -> str:
        return self.records[0]["question"] if self.study else EVALUATIONS[self.kind][1]

    def figures(self) -> list[Path]:
        """Vector form of each figure beside the numbers."""
        return sorted(self.folder.glob("*.svg"), key=lambda path: (path.stem == "curves", path.name))


def find_results(folders: Sequence[Path]) -> list[StudyResult]:
    """Finds everything in and below the folders that the page can show, studies first.

    Raises:
        InputError: nothing there, or a file that is no such record.
    """
    results: list[StudyResult] = []
    for folder in map(Path, folders):
        compared = {file.parent for file in folder.rglob(COMPARISON)}
        files = [file for file in folder.rglob(NAME) if file.parent.parent not in compared]  # not one encoder of a comparison
        results += filter(None, map(_read, sorted([*files, *folder.rglob(COMPARISON)])))
    if not results:
        names = ", ".join(map(str, folders))
        raise InputError(f"{names}: no results there; give --results folders that e2 study or e2 evaluate wrote by --out")
    results = _told_apart(results)
    order = [*((True, name) for name in STUDIES), *((False, name) for name in EVALUATIONS)]
    return sorted(results, key=lambda result: (order.index((result.study, result.kind)), result.where, str(result.folder)))


def _told_apart(results: Sequence[StudyResult]) -> list[StudyResult]:
    """Labels results of the same study on the same data (one for longer, say) by the ends of their folders."""
    alike: dict[tuple[bool, str, str], list[StudyResult]] = defaultdict(list)
    for result in results:
        alike[result.study, result.kind, result.where].append(result)
    labelled = []
    for group in alike.values():
        depth = 0 if len(group) == 1 else 1  # as much of the ends as distinguishes them
        while len({one.folder.parts[len(one.folder.parts) - depth :] for one in group}) < len({one.folder for one in group}):
            depth += 1
        labelled += [replace(one, label="/".join(one.folder.parts[len(one.folder.parts) - depth :])) for one in group]
    return labelled


def tables_of(result: StudyResult) -> list[Table]:
    """Tables of a result, the most telling first."""
    record = result.records[0]
    if result.study:
        if result.kind == "dataset":
            return [statistics_table(record["title"], record["metrics"])]
        return study_tables(record)
    if result.kind == "grounding":
        return [_grounding_table(result, measure) for measure in GROUNDING]
    return [_metrics_table(result)]


def summary_of(result: StudyResult) -> list[Markup]:
    """Summarises a result in sentences; none for those that no single measure decides."""
    first = result.records[0]
    over = counted(first["n"], "product")
    if result.study:
        if result.kind == "dataset":
            return []
        seeds = len(first["seed"])
        over += f" and {seeds} seeds" if seeds > 1 else ", one training each"
        metric = first["headline"]
        return summary(scores_of(first), first["differences"], metric, words=in_words(metric), over=over)
    if result.kind not in HEADLINES:
        return []
    metric = HEADLINES[result.kind]
    scores = {record["model"]["path"]: record for record in result.records}
    names = dict(zip(scores, result.names, strict=True))
    return summary(scores, result.differences, metric, words=in_words(metric), over=over, names=names)


def _read(file: Path) -> StudyResult | None:
    """Reads a record; None for records of other kinds.

    Raises:
        InputError: it cannot be read as a record.
    """
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        records = content["results"] if file.name == COMPARISON else [content]
        result = StudyResult(file.parent, records, content.get("differences", []))
        return result if result.kind in (STUDIES if result.study else EVALUATIONS) else None
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise InputError(f"cannot read {file} as results ({error!r}); make it again or leave it out of --results") from error


def _grounding_table(result: StudyResult, measure: str) -> Table:
    """Tabulates a row per map, a column per entity; a map that leads an entity by the intervals stands out."""
    entities = list(result.records[0]["places"])
    rows = [
        (name, record, own)
        for name, record in zip(result.names, result.records, strict=True)
        for own in maps_of(record["metrics"])
    ]
    columns = [[(record, f"{measure}/{own}/{entity}") for _, record, own in rows] for entity in entities]
    best = [leader([r["metrics"].get(name) for r, name in c], [r["ci95"].get(name) for r, name in c]) for c in columns]
    cells = {
        f"{name}: {own}": [value_cell(*column[row], best=place == row) for column, place in zip(columns, best, strict=True)]
        for row, (name, _, own) in enumerate(rows)
    }
    against = {"boxes": "true boxes", "windows": "windows that suit the tag's text best"}[result.records[0]["protocol"]]
    title = f"Hits, %: {GROUNDING[measure]}, {against}: {result.where}"
    note = f"95 % intervals over {counted(result.records[0]['n'], 'product')}."
    return Table(title, [entity.replace("_", " ") for entity in entities], cells, note, corner="map")


def _metrics_table(result: StudyResult) -> Table:
    """Tabulates a row per metric that has an interval, a column per encoder and per difference."""
    names = dict.fromkeys(name for record in result.records for name in record["ci95"])
    short = dict(zip((record["model"]["path"] for record in result.records), result.names, strict=True))
    head = [*result.names, *(f"{short[pair['second']]} − {short[pair['first']]}" for pair in result.differences)]
    rows = {}
    for name in names:
        cells = [value_cell(record, name) for record in result.records]
        rows[in_words(name)] = [*cells, *(difference_cell(pair, name) for pair in result.differences)]
    first = result.records[0]
    title = f"{result.title}: {result.where}, {counted(first['n'], 'product')}, {first['protocol']}"
    return Table(title, head, rows, "95 % intervals over products; differences are paired, and marked where clear of zero.")

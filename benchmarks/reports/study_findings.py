"""Summarises E2's results in sentences: where it is ahead, behind, or neither.

One rule for all: a paired difference counts only if its 95 % interval excludes zero. All sentences are generated, so none can
be kinder than the numbers.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from e2.benchmarks.grounding.maps import TOKENS, maps_of
from e2.benchmarks.reports.study_records import StudyResult
from e2.benchmarks.studies.tables import in_words
from e2.counting import counted

AHEAD, BEHIND, OPEN = "ahead", "behind", "open"
MAIN_METRICS = {"retrieval": ("SumR",), "probe": ("_accuracy",)}  # endings of the reported metrics


@dataclass(frozen=True)
class Finding:
    """One comparison that involves E2."""

    ours: str  # ours, theirs: what is compared
    theirs: str
    measure: str  # measure compared
    value: float  # value, low, high: the difference, ours minus theirs, and its interval
    low: float
    high: float
    where: str  # data, split, and number of seeds or products

    @property
    def verdict(self) -> str:
        return OPEN if self.low <= 0 <= self.high else AHEAD if self.value > 0 else BEHIND

    @property
    def sentence(self) -> str:
        verb = {AHEAD: "is ahead of", BEHIND: "is behind", OPEN: "cannot be told from"}[self.verdict]
        return f"{self.ours} {verb} {self.theirs} in {self.measure}"


def findings(results: Sequence[StudyResult]) -> list[Finding]:
    """Collects all findings, studies first."""
    found: list[Finding] = []
    for result in results:
        of_kind = _of_study if result.study else _of_grounding if result.kind == "grounding" else _of_evaluation
        found += of_kind(result)
    return found


def _of_study(result: StudyResult) -> Iterator[Finding]:
    """Compares E2 with other methods: the headline metric, and every other column in which it is not ahead.

    So a gain is reported once and each loss separately. Ablations are reported only if unchanged E2 loses; others are in the
    tables.
    """
    record = result.records[0]
    if not record.get("differences"):  # one variant, or catalogues (`dataset`), which have no seeds either
        return
    variants, seeds = record["variants"], len(record["seed"])
    place = f"{result.title}, {result.where}, {seeds} seed{'s' * (seeds != 1)}"
    for pair in record["differences"]:
        first, second = pair["first"], pair["second"]
        if not _is_e2(variants, second):
            continue
        changed = _is_e2(variants, first)
        ranked = (name for name in record["columns"] if name not in record.get("described", ()))
        for metric in dict.fromkeys([record["headline"], *ranked]):
            value = pair["metrics"][metric]
            low, high = pair["ci95"].get(metric, (0.0, 0.0))  # zero width: not resampled, or the same by construction
            if changed:
                found = Finding(first, second, in_words(metric), -value, -high, -low, place)
                told = found.verdict == BEHIND
            else:
                found = Finding(second, first, in_words(metric), value, low, high, place)
                told = found.verdict != AHEAD or metric == record["headline"]
            if told and low < high:
                yield found


def _is_e2(variants: dict[str, Any], label: str) -> bool:
    return variants.get(label, {}).get("settings", {}).get("method") == "e2"


def _of_evaluation(result: StudyResult) -> Iterator[Finding]:
    methods = {record["model"]["path"]: record["model"]["method"] for record in result.records}
    short = dict(zip(methods, result.names, strict=True))
    for pair in result.differences:
        first, second = pair["first"], pair["second"]
        if (methods[first] == "e2") == (methods[second] == "e2"):
            continue
        sign = 1 if methods[second] == "e2" else -1
        ours, theirs = (short[second], short[first])[::sign]
        for name in MAIN_METRICS.get(result.kind, ()):
            for metric in (metric for metric in pair["ci95"] if metric.endswith(name)):
                low, high = sorted(sign * bound for bound in pair["ci95"][metric])
                measure = in_words(metric)
                yield Finding(ours, theirs, measure, sign * pair["metrics"][metric], low, high, _place(result))


def _of_grounding(result: StudyResult) -> Iterator[Finding]:
    """Compares, in the strict game, an encoder's tokens with the best of all other maps per entity."""
    maps: dict[str, str] = {}  # names that records have had -> names on the page
    for name, record in zip(result.names, result.records, strict=True):
        folder = record["model"]["path"].rstrip("/").rpartition("/")[2]
        maps |= {f"{folder}: {own}": f"{name}: {own}" for own in maps_of(record["metrics"])}
    for name, record in zip(result.names, result.records, strict=True):
        for entity in record["places"] if "tokens_minus" in record else ():
            key = f"pointing/{entity}"
            against = {other: found[key] for other, found in record["tokens_minus"].items() if key in found}
            if against:
                best = min(against, key=lambda other: against[other][0])
                value, low, high = against[best]
                measure = f"hits on the {entity.replace('_', ' ')}"
                where = f"{_place(result)}, {result.records[0]['protocol']}"
                yield Finding(f"{name}: {TOKENS}", maps.get(best, best), measure, value, low, high, where)


def _place(result: StudyResult) -> str:
    return f"{result.title}, {result.where}, {counted(result.records[0]['n'], 'product')}, one run each"

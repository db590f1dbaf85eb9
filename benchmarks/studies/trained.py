"""Runs a training study: trains each variant with each seed, or finds it trained, measures, compares and reports."""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from e2.benchmarks.core.figures import CURVES, FIGURE
from e2.benchmarks.core.records import NAME
from e2.benchmarks.studies.bars import draw_bars
from e2.benchmarks.studies.base import Context, Figure, Measure, Variant
from e2.benchmarks.studies.curves import draw_curves
from e2.benchmarks.studies.digest import catalogue_digest
from e2.benchmarks.studies.measuring import measured_once
from e2.benchmarks.studies.results import Outcome, identity, study_record
from e2.benchmarks.studies.retrieval import retrieval
from e2.benchmarks.studies.runs import learned_digests, trained
from e2.benchmarks.studies.tables import write_tables
from e2.errors import InputError
from e2.files import write_json
from e2.methods import method_class
from e2.outputs import claim_results


@dataclass(frozen=True)
class TrainedStudy:
    """Study of variants of one training."""

    name: str  # name, title, question: the question in one sentence
    title: str
    question: str
    variants: Callable[[Context], list[Variant]]  # variants to train, given the settings
    measure: Measure = retrieval  # measures an encoder on the evaluated split
    # metrics of the tables, or what chooses them; all metrics are in ``metrics.json``
    columns: tuple[str, ...] | Callable[[Context], tuple[str, ...]] = ("image_to_text_R@1", "text_to_image_R@1", "SumR")
    described: str | None = None  # columns that begin like this are descriptive; more is not better
    headline: str | None = None  # the metric of the figure; None: the last column
    figure: Figure = draw_bars  # draws the record
    note: str = ""  # note for readers of the table

    def run(self, context: Context) -> dict[str, Any]:
        """Trains, measures and writes; after each seed ``context.out`` holds the results so far.

        Raises:
            InputError: unsuitable settings, or an ``out`` that holds another study.
            TrainingStopped: interrupted; the same call continues.
        """
        console, start = Console(stderr=True), time.perf_counter()
        variants = chosen(self.variants(context), context.chosen)
        catalogue = context.open(context.split)
        refuse_another(context.out / NAME, identity(self, context, catalogue))
        claim_results(context.out, NAME)
        digests = {context.split: catalogue_digest(catalogue)}
        learned = learned_digests(context)
        record: dict[str, Any] = {}
        outcomes: list[Outcome] = []
        total = len(variants) * len(context.seeds)
        for seed in context.seeds:
            for variant in sorted(variants, key=lambda variant: not reads_patches(context, variant)):
                console.rule(f"{self.name}: {variant.label}, seed {seed} ({len(outcomes) + 1} of {total})")
                run = trained(context, variant, seed, learned)
                path = context.runs / "measured" / f"{run.folder.name}-{self.name}.safetensors"
                measured, facts = measured_once(path, self.measure, run, catalogue, context, digests[context.split])
                outcomes.append(Outcome(variant, seed, run, measured, facts))
            outcomes.sort(key=lambda outcome: (context.seeds.index(outcome.seed), variants.index(outcome.variant)))
            record = study_record(self, context, catalogue, outcomes, {**learned, **digests})
            record["seconds"] = round(time.perf_counter() - start, 1)
            write_tables(record, context.out)
            self.figure(record, context.out / FIGURE)
            draw_curves(record, context.out / CURVES)
            write_json(context.out / NAME, record)  # last: it says that the others are complete
        return record


def reads_patches(context: Context, variant: Variant) -> bool:
    """True for methods that need most of what a frozen tower makes of a photo: first, they fill a cache for the others."""
    return method_class(variant.settings.get("method", context.common.method)).uses_tokens


def chosen(variants: list[Variant], labels: tuple[str, ...] | None) -> list[Variant]:
    """Selects the variants with these labels.

    Raises:
        InputError: a label that the study does not have.
    """
    known = [variant.label for variant in variants]
    for label in labels or ():
        if label not in known:
            raise InputError(f"--variants {label}: this study has {', '.join(known)}")
    return [variant for variant in variants if labels is None or variant.label in labels]


def refuse_another(path: Path, identity: Mapping[str, Any]) -> None:
    """Protects the results of another study, data or budget from being replaced.

    Raises:
        InputError: ``path`` holds such results.
    """
    if not path.exists():
        return
    try:
        there = json.loads(path.read_text())
        other = [key for key, value in identity.items() if there[key] != value]
    except (OSError, ValueError, KeyError, TypeError):
        other = ["benchmark"]
    if other:
        raise InputError(f"{path} holds results of another study ({', '.join(other)} differ); choose another --out")

"""Builds a study's record: means over seeds, paired differences, intervals, and provenance."""

import json
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from e2.benchmarks.core.comparison import intervals
from e2.benchmarks.studies.base import Context, StudyMeasurement, Variant
from e2.benchmarks.studies.digest import code_digest
from e2.benchmarks.studies.intervals import RESAMPLES, resampled, terms
from e2.benchmarks.studies.runs import TrainedRun
from e2.data import Catalogue
from e2.settings import to_dict
from e2.version import __version__

BOTH = (
    "95 % percentile intervals over products and seeds: each of {resamples} resamples draws products and seeds, both with "
    "replacement, and takes every drawn product under every drawn seed; differences pair products and seeds"
)
PRODUCTS = (
    "95 % percentile intervals over products only ({resamples} resamples): one seed says nothing of the chance of training; "
    "differences pair products"
)


@dataclass(frozen=True)
class Outcome:
    """Measurement of one variant with one seed; ``facts``: the size of its model."""

    variant: Variant
    seed: int
    run: TrainedRun
    measured: StudyMeasurement
    facts: dict[str, Any]


def identity(study: Any, context: Context, catalogue: Catalogue) -> dict[str, Any]:
    """Identifies a study's results before anything is trained."""
    settings = json.loads(json.dumps(to_dict(context.common)))  # as it will be read back
    del settings["device"], settings["seed"], settings["data"]["workers"]
    return {
        "benchmark": "study",
        "protocol": study.name,
        "title": study.title,
        "question": study.question,
        "dataset": catalogue.name,
        "split": catalogue.split,
        "text": context.text,
        "n": len(catalogue),
        "model": {**settings, "data": {**settings["data"], "data": context.data[0], "tags": list(context.entities)}},
    }


def study_record(
    study: Any, context: Context, catalogue: Catalogue, outcomes: Sequence[Outcome], digests: Mapping[str, str]
) -> dict[str, Any]:
    """Builds the content of ``metrics.json``. ``outcomes``: every variant with the same seeds."""
    variants = list({outcome.variant.label: outcome.variant for outcome in outcomes}.values())
    seeds = sorted({outcome.seed for outcome in outcomes})
    groups = {variant.label: [one for one in outcomes if one.variant.label == variant.label] for variant in variants}
    older = sum(outcome.run.record["code_sha256"] != code_digest("e2") for outcome in outcomes)  # used all the same
    note = f"{older} of {len(outcomes)} trainings were done by another version of the code." if older else ""
    samples = {label: _samples(group) for label, group in groups.items()}
    columns = list(study.columns(context) if callable(study.columns) else study.columns)
    return {
        **identity(study, context, catalogue),
        "seed": seeds,
        "metrics": {
            label: {name: float(np.mean([one.measured.metrics[name] for one in group])) for name in group[0].measured.metrics}
            for label, group in groups.items()
        },
        "ci95": {label: intervals(found) for label, found in samples.items()},
        "differences": [
            _difference(groups[other], groups[variant.label], samples[other], samples[variant.label])
            for variant in variants
            for other in variant.against
            if other in groups
        ],
        "bootstrap": (BOTH if len(seeds) > 1 else PRODUCTS).format(resamples=RESAMPLES),
        "columns": columns,
        "described": [name for name in columns if study.described and name.startswith(study.described)],
        "headline": study.headline or columns[-1],
        "note": " ".join(filter(None, [study.note, note])),
        "variants": {
            v.label: {"settings": dict(v.settings), "series": v.series, "x": v.x, **groups[v.label][0].facts} for v in variants
        },
        "runs": [_run(outcome) for outcome in outcomes],
        "data_sha256": dict(digests),
        "code_sha256": code_digest("e2"),
        "commit": commit(),
        "version": __version__,
    }


def _samples(group: Sequence[Outcome]) -> dict[str, np.ndarray]:
    """Metric -> (resamples,) of one variant. Metrics over other products (another data set's) have their own resamples."""
    items = [{name: terms(values) for name, values in outcome.measured.items.items()} for outcome in group]
    samples: dict[str, np.ndarray] = {}
    for products in sorted({len(values) for values in items[0].values()}):
        names = [name for name, values in items[0].items() if len(values) == products]
        most = max(items[0][name].shape[1] for name in names)
        table = np.stack([np.stack([_padded(seed[name], most) for name in names], axis=1) for seed in items])
        samples |= dict(zip(names, resampled(table).T, strict=True))
    return samples


def _padded(items: np.ndarray, most: int) -> np.ndarray:
    """Pads (P, T, 2) with terms that add 0 / P to the metric."""
    empty = np.broadcast_to(np.array([0.0, 1.0]), (len(items), most - items.shape[1], 2))
    return np.concatenate([items, empty], axis=1)


def _difference(
    first: Sequence[Outcome], second: Sequence[Outcome], before: Mapping[str, np.ndarray], after: Mapping[str, np.ndarray]
) -> dict[str, Any]:
    """Computes second minus first, for every metric that both have."""
    pairs = [(a.measured.metrics, b.measured.metrics) for a, b in zip(first, second, strict=True)]
    by_seed = {name: [b[name] - a[name] for a, b in pairs] for name in pairs[0][0] if name in pairs[0][1]}
    return {
        "first": first[0].variant.label,
        "second": second[0].variant.label,
        "metrics": {name: float(np.mean(values)) for name, values in by_seed.items()},
        "ci95": intervals({name: after[name] - values for name, values in before.items() if name in after}),
        "by_seed": by_seed,
    }


def _run(outcome: Outcome) -> dict[str, Any]:
    summary = outcome.run.summary
    return {
        "variant": outcome.variant.label,
        "seed": outcome.seed,
        "path": str(outcome.run.folder),
        "weights_sha256": summary["weights_sha256"],
        "code_sha256": outcome.run.record["code_sha256"],
        "best_step": summary["step"],
        "val_SumR": summary["val_SumR"],
        "history": [[entry["step"], entry["SumR"]] for entry in summary["history"]],
        "metrics": outcome.measured.metrics,
    }


def commit() -> str | None:
    """Commit of the working tree, ``-dirty`` if files have changed since; None outside one."""
    try:
        say = ["git", "describe", "--always", "--dirty", "--abbrev=12"]
        return subprocess.check_output(say, cwd=Path(__file__).parent, stderr=subprocess.DEVNULL, text=True).strip()
    except (OSError, subprocess.CalledProcessError):
        return None

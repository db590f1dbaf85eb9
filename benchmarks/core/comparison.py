"""Compares encoders evaluated on the same products: records, paired differences and files."""

import itertools
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from e2.adapters.encoder import Encoder
from e2.benchmarks.core.bootstrap import interval
from e2.benchmarks.core.names import ends
from e2.benchmarks.core.records import NAME, MeasuredData, metrics_record
from e2.distributed import processes
from e2.errors import InputError
from e2.files import write_json
from e2.outputs import claim_results

COMPARISON = "comparison.json"


Samples = Mapping[str, np.ndarray]  # metric -> (resamples,)
Measured = tuple[dict[str, float], Samples, dict[str, Any]]  # metrics, their bootstrap samples, further facts for the record


@dataclass(frozen=True)
class MeasuredEncoder:
    """One encoder's ``record`` and bootstrap ``samples``, of resamples shared by all encoders."""

    record: dict[str, Any]
    samples: Samples


@dataclass(frozen=True)
class Comparison:
    """``results``: a record per encoder; ``differences``: for each pair, second minus first, with paired intervals."""

    results: list[dict[str, Any]]
    differences: list[dict[str, Any]]


def check_encoders(encoders: Sequence[Encoder], out: str | Path | None = None, *further: str) -> None:
    """Refuses no encoder or one twice, and a folder that `claim_comparison` refuses."""
    check_different([encoder.info["path"] for encoder in encoders], "models")
    claim_comparison(out, *further)


def check_different(paths: Sequence[str], what: str) -> None:
    """Refuses nothing to measure, or one thing twice.

    Raises:
        InputError: naming the given ones.
    """
    if not paths or len(set(paths)) < len(paths):
        raise InputError(f"give one or several different {what}, got {', '.join(paths) or 'none'}")


def compare_encoders(
    encoders: Sequence[Encoder],
    measure: Callable[[Encoder], Measured],
    benchmark: str,
    protocol: str,
    catalogue: MeasuredData,
    **facts: Any,
) -> Comparison:
    """Measures encoders in turn, with their times; ``facts`` are the arguments of `recorded` that all share."""
    parts = []
    for encoder in encoders:
        start = time.perf_counter()
        metrics, samples, further = measure(encoder)
        parts.append(recorded(benchmark, protocol, catalogue, encoder, metrics, samples, start, **facts, **further))
    return compare(parts)


def recorded(
    benchmark: str,
    protocol: str,
    catalogue: MeasuredData,
    encoder: Encoder,
    metrics: dict[str, float],
    samples: Samples,
    start: float,
    *,
    resamples: int,
    unit: str = "product",
    **further: Any,
) -> MeasuredEncoder:
    """Makes a record (`metrics_record`) of one encoder's metrics, their ``samples``, and the time since ``start``.

    Raises:
        NotFinite: a metric is NaN or infinite.
    """
    facts: dict[str, Any] = {"precision": encoder.precision, **further, "bootstrap": {"resamples": resamples, "unit": unit}}
    facts |= {"metrics": metrics, "ci95": intervals(samples), "seconds": time.perf_counter() - start}
    return MeasuredEncoder(metrics_record(benchmark, protocol, catalogue, model=encoder.info, **facts), samples)


def intervals(samples: Samples) -> dict[str, tuple[float, float]]:
    """95 % interval of each metric."""
    return {name: interval(values) for name, values in samples.items()}


def compare(measured: Sequence[MeasuredEncoder]) -> Comparison:
    """Collects all records, and differences of the metrics that both of a pair have."""
    differences = [
        {"first": first.record["model"]["path"], "second": second.record["model"]["path"], **paired_difference(first, second)}
        for first, second in itertools.combinations(measured, 2)
    ]
    return Comparison([one.record for one in measured], differences)


def paired_difference(first: MeasuredEncoder, second: MeasuredEncoder) -> dict[str, Any]:
    """Second minus first, of the metrics that both have, with paired intervals."""
    before, after = first.record["metrics"], second.record["metrics"]
    shared = [name for name in before if name in after and name in first.samples]
    drawn = {name: second.samples[name] - first.samples[name] for name in shared}
    return {
        "metrics": {name: after[name] - before[name] for name in shared},
        "ci95": {name: list(bounds) for name, bounds in intervals(drawn).items()},
    }


def claim_comparison(out: str | Path | None, *further: str) -> None:
    """Refuses, before any evaluation, a folder in which `write_comparison` could not write.

    Raises:
        InputError: it is a file, or a file in it was not written by e2; ``further`` names are checked too.
    """
    if out is not None:
        earlier = [str(path.relative_to(out)) for path in Path(out).glob(f"*/{NAME}")]
        claim_results(Path(out), NAME, COMPARISON, *earlier, *further)


def write_comparison(out: str | Path | None, comparison: Comparison) -> None:
    """Writes ``metrics.json``; for several encoders one in a folder each, and ``comparison.json``. Main process only."""
    if out is None or not processes().is_main_process:
        return
    out = Path(out)
    if len(comparison.results) == 1:
        write_json(out / NAME, comparison.results[0])
        return
    for number, (record, name) in enumerate(zip(comparison.results, short_names(comparison), strict=True), start=1):
        write_json(out / folder_name(number, name) / NAME, record)
    write_json(out / COMPARISON, asdict(comparison))


def folder_name(number: int, name: str) -> str:
    """Folder for one of several results: numbered, as two names may be equal, and without strange characters."""
    return f"{number}_" + re.sub(r"[^\w.-]+", "_", name)


def short_names(comparison: Comparison) -> list[str]:
    """End of each encoder's path, if the ends differ."""
    return ends([record["model"]["path"] for record in comparison.results])

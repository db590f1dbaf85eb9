"""Measures a trained run once, and keeps the result until run, data or code change."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from e2.adapters.encoder import Encoder, load_encoder
from e2.benchmarks.studies.base import Context, Measure, StudyMeasurement
from e2.benchmarks.studies.digest import code_digest
from e2.benchmarks.studies.runs import TrainedRun
from e2.config import TrainConfig
from e2.data import Catalogue
from e2.files import atomic_tensors

Facts = dict[str, Any]  # model sizes: parameters, added_parameters


def measured_once(
    path: Path, measure: Measure, run: TrainedRun, catalogue: Catalogue, context: Context, data: str
) -> tuple[StudyMeasurement, Facts]:
    """Measures a run on the catalogue with the digest ``data``, or reads the earlier result from the file ``path``."""
    said_of = {"weights": run.summary["weights_sha256"], "data": data, "text": context.text}
    said_of |= {"old_data": context.old_data or "", "code": code_digest("e2", "e2.adapters", "e2.benchmarks")}
    if kept := _read(path, said_of):
        return kept
    encoder = _encoder(run, context.common)
    measured, facts = measure(encoder, catalogue, context), encoder.num_parameters
    texts = {"metrics": json.dumps(measured.metrics), "facts": json.dumps(facts), **said_of}
    with atomic_tensors(path) as temporary:
        save_file(measured.items, temporary, texts)
    return measured, facts


def _encoder(run: TrainedRun, common: TrainConfig) -> Encoder:
    """Loads a run, which reads the photos from the trainings' cache where that changes no vector."""
    exact = common.precision != "fp32" and run.record["settings"]["optim"]["image_layers"] is not None
    cache = common.data.cache if exact else None
    how: dict[str, Any] = {"device": common.device, "precision": common.precision, "workers": common.data.workers}
    return load_encoder(run.folder, cache=cache, **how)


def _read(path: Path, said_of: Mapping[str, str]) -> tuple[StudyMeasurement, Facts] | None:
    """Reads an earlier result; None if there is none, or it is of something else."""
    try:
        with safe_open(path, "numpy") as file:
            texts = file.metadata() or {}
            if any(texts.get(name) != value for name, value in said_of.items()):
                return None
            items = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
            return StudyMeasurement(json.loads(texts["metrics"]), items), json.loads(texts["facts"])
    except (OSError, SafetensorError):
        return None

"""Trains the variants of studies, in folders keyed by everything that decides the outcome, so that nothing is trained twice.

``RUNS/KEY-LABEL-SEED/`` is an ordinary folder of `e2 train`; ``RUNS/KEY-LABEL-SEED.json`` records its data and code. The key
is a hash of all settings (except device and number of workers), the products in train and val, and the pre-trained weights,
but not of the code: runs of earlier code are used, and named in the results. A setting that a record lacks came later; that
run is used where the setting is at its default.
"""

import contextlib
import dataclasses
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from e2.benchmarks.studies.base import Context, Variant
from e2.benchmarks.studies.digest import catalogue_digest, code_digest
from e2.checkpoint import WEIGHTS
from e2.config import ModelConfig, TrainConfig
from e2.data import splits_of
from e2.errors import InputError, TrainingStopped
from e2.files import file_sha256, write_json
from e2.methods import method_class
from e2.settings import deep_update, merged, to_dict
from e2.training.run import as_changes, start_run
from e2.version import __version__


@dataclass(frozen=True)
class TrainedRun:
    """A finished training."""

    folder: Path  # its checkpoint
    record: dict[str, Any]  # its ``.json``: label, settings, hashes of data, weights and code
    summary: dict[str, Any]  # the summary of `e2 train`


def trained(context: Context, variant: Variant, seed: int, digests: Mapping[str, str]) -> TrainedRun:
    """Returns the run of a variant with a seed: finished before, resumed or new; ``digests``: see `learned_digests`.

    Raises:
        InputError: settings or data that do not fit, or a run's folder with unexpected content.
        TrainingStopped: the training was interrupted; the same command continues.
    """
    config = training_config(context, variant, seed)
    facts = {"settings": deciding(config), "data_sha256": dict(digests), "pretrained_sha256": _weights_digest(config)}
    facts["version"] = __version__
    key = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:12]
    name = re.sub(r"[^a-zA-Z0-9-]+", "-", f"{variant.label}-{seed}")
    folder = _found(context.runs, key, facts) or context.runs / f"{key}-{name}"
    record = _record(folder, facts)
    try:
        return TrainedRun(folder, record, start_run(folder, to_dict(config), resume=True))
    except TrainingStopped as stop:
        raise TrainingStopped(f"{variant.label}, seed {seed}: {stop}; or give the same e2 study command again") from stop


def training_config(context: Context, variant: Variant, seed: int) -> TrainConfig:
    """Merges the settings of one training: the common ones, then the variant's.

    Raises:
        InputError: settings that do not exist or do not go together.
    """
    common = merged(context.common, {"data": {"data": context.data[0], "tags": list(context.entities)}})
    config: TrainConfig = merged(common, as_changes({**variant.settings, "seed": seed}, ()), variant.label)
    if method_class(config.method).uses_tokens:
        return config
    return dataclasses.replace(config, model=ModelConfig())  # the plain backbone, whatever tokens would be like


def deciding(config: TrainConfig) -> dict[str, Any]:
    """Returns the settings that decide a training's outcome, as JSON will give them back."""
    settings: dict[str, Any] = json.loads(json.dumps(to_dict(config)))
    del settings["device"], settings["data"]["workers"]
    settings["data"]["cache"] = settings["data"]["cache"] is not None  # whichever folder it is
    return settings


def learned_splits(context: Context) -> list[str]:
    """Splits that trainings use: train and, if there is one, val."""
    splits = splits_of(context.data[0])
    return [split for split in ("train", "val") if split in splits] or list(splits[:1])


def learned_digests(context: Context) -> dict[str, str]:
    """Split -> hash of its products."""
    return {split: catalogue_digest(context.open(split)) for split in learned_splits(context)}


def _weights_digest(config: TrainConfig) -> str | None:
    """Hash of pre-trained weights in files or folders, of ``pretrained`` or of the backbone; a tag is a permanent name."""
    places = [part.rpartition(":")[2] for part in re.split("[+@]", config.backbone)] if ":" in config.backbone else []
    paths = [Path(name) for name in (config.pretrained, *places) if name]
    files = [path for path in paths if path.is_file()]
    for folder in filter(Path.is_dir, paths):
        files += [folder / WEIGHTS] if (folder / WEIGHTS).is_file() else sorted(folder.glob("*.safetensors"))
    hashes = [file_sha256(file) for file in files]
    return hashes[0] if len(hashes) == 1 else hashlib.sha256("".join(hashes).encode()).hexdigest() if hashes else None


def _found(runs: Path, key: str, facts: Mapping[str, Any]) -> Path | None:
    """Finds the folder of a training, whatever the study that trained it called it."""
    if own := sorted(runs.glob(f"{key}-*.json")):
        return own[0].with_suffix("")
    for path in sorted(runs.glob("*.json")):
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):  # a damaged one of another training
            if _agrees(json.loads(path.read_text()), facts):
                return path.with_suffix("")
    return None


def _agrees(record: Any, facts: Mapping[str, Any]) -> bool:
    """True if a record is of these facts; it may lack settings that came later, if they are at their defaults."""
    settings = deep_update(deciding(TrainConfig()), record["settings"])
    return all(record[key] == value for key, value in facts.items() if key != "settings") and settings == facts["settings"]


def _record(folder: Path, facts: dict[str, Any]) -> dict[str, Any]:
    """Reads or writes the record beside the folder; written before the training begins.

    Raises:
        InputError: it is damaged or differs.
    """
    path = folder.parent / f"{folder.name}.json"
    if path.exists():
        try:
            record = json.loads(path.read_text())
            same = _agrees(record, facts)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(f"{path} is damaged; remove it and {folder}, or choose another --runs") from error
        if not same:
            raise InputError(f"{path} belongs to a training with other settings; remove it, or choose another --runs")
        return record
    record = {**facts, "code_sha256": code_digest("e2")}
    write_json(path, record)
    return record

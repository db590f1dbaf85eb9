"""From what a user asks for to a training run: settings resolved, data opened, the run's folder looked after."""

import dataclasses
import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from accelerate import PartialState

from e2.checkpoint import CONFIG, WEIGHTS, read_config, weights_sha256
from e2.config import TrainConfig, from_dict, merged, to_dict, with_key
from e2.data import Catalogue, Columns, Subset, open_catalogue, parse_tags, splits_of
from e2.data.loader import DESCRIPTION
from e2.errors import InputError
from e2.files import atomic_path
from e2.presets import preset
from e2.state import FOLDER as STATE_FOLDER
from e2.state import read_state, states
from e2.train import train

HELD_OUT, MOST_HELD_OUT = 0.05, 2000  # of the train products, where a catalogue has no val split


def start_run(
    out: Path,
    options: Mapping[str, Any],
    *,
    config_file: Path | None = None,
    settings: Sequence[str] = (),
    resume: bool = False,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Trains a model as asked and returns the summary that is also written to ``out/summary.json``.

    Args:
        out: the run's folder.
        options: settings by dotted name, e.g. ``{"method": "e2", "data.data": "boutique", "data.tags": "brand,season"}``.
        config_file: YAML file with settings; ``options`` win over it, and it over the preset.
        settings: further ``KEY=VALUE`` settings; these win over all.
        resume: go on with the stopped run in ``out``; where none has begun yet, start it.
        overwrite: replace an earlier run in ``out``.

    Raises:
        InputError: settings, data or folder that do not fit.
    """
    fresh = not (resume and states(out))
    if resume and (out / "summary.json").exists():
        return json.loads((out / "summary.json").read_text())
    if fresh:
        config = resolve(options, config_file, settings)
        processes = PartialState(cpu=config.device == "cpu")
        if processes.is_main_process:
            clear_folder(out, overwrite or resume)
        processes.wait_for_everyone()
    else:
        config = resume_settings(out, options, config_file, settings)
    train_data, val_data = open_splits(config)
    if not config.data.tags and train_data.tags:  # a source that knows its own entities
        config = merged(config, {"data": {"tags": train_data.tags}})
    progress = train(config, train_data, val_data, out, resume=not fresh)
    summary = {
        "out": str(out),
        "method": config.method,
        "step": progress.best_step,
        "val_SumR": progress.best,
        "weights_sha256": weights_sha256(out),
        "history": progress.history,
    }
    if PartialState().is_main_process:
        with atomic_path(out / "summary.json") as path:
            path.write_text(json.dumps(summary, indent=2) + "\n")
        shutil.rmtree(out / STATE_FOLDER, ignore_errors=True)  # last: until the summary is there, the run is not finished
    return summary


def resolve(options: Mapping[str, Any], config_file: Path | None, settings: Sequence[str]) -> TrainConfig:
    """Defaults, then preset, then file, then options, then single settings."""
    from_file = read_yaml(config_file) if config_file else {}
    changes = as_changes(options, settings)
    name = changes.get("preset", from_file.get("preset", "default"))
    config = merged(TrainConfig(), preset(name), "preset")
    config = merged(config, from_file, str(config_file))
    config = merged(config, changes, "options")
    if config.steps is not None and config.epochs is not None:
        raise InputError("give either epochs or steps, not both")
    return config


def as_changes(options: Mapping[str, Any], settings: Sequence[str]) -> dict[str, Any]:
    """Dotted options and ``KEY=VALUE`` settings as nested changes of the configuration."""
    dotted = dict(options)
    if isinstance(dotted.get("data.tags"), str):
        tags, dotted["data.tag_columns"] = parse_tags(dotted["data.tags"])
        dotted["data.tags"] = list(tags)
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not equals:
            raise InputError(f"--set {setting}: write KEY=VALUE, e.g. --set optim.lr=1e-4")
        try:
            dotted[key] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise InputError(f"--set {setting}: the value is not valid YAML") from error
    changes: dict[str, Any] = {}
    for key, value in dotted.items():
        _merge_into(changes, with_key(key, value))
    return changes


def _merge_into(base: dict[str, Any], extra: Mapping[str, Any]) -> None:
    for key, value in extra.items():
        if isinstance(value, dict) and isinstance(base.get(key), dict):
            _merge_into(base[key], value)
        else:
            base[key] = value


def read_yaml(path: Path) -> dict[str, Any]:
    """Settings from a YAML file.

    Raises:
        InputError: missing, not YAML, or no mapping.
    """
    try:
        content = yaml.safe_load(path.read_text()) or {}
    except OSError as error:
        raise InputError(f"--config {path}: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"--config {path} is no valid YAML: {' '.join(str(error).split())[:200]}") from error
    if not isinstance(content, dict):
        raise InputError(f"--config {path} must hold settings as `key: value`")
    return content


def resume_settings(out: Path, options: Mapping[str, Any], config_file: Path | None, settings: Sequence[str]) -> TrainConfig:
    """The stored settings of a stopped run. Device and workers may differ now; anything else that differs is refused.

    Raises:
        InputError: a setting given now contradicts the stored one; both are named.
    """
    stored = from_dict(TrainConfig, read_state(out)[2], f"{out / STATE_FOLDER}")
    asked = merged(stored, read_yaml(config_file) if config_file else {}, str(config_file))
    asked = merged(asked, as_changes(options, settings), "options")
    free = {"device": asked.device, "data": dataclasses.replace(stored.data, workers=asked.data.workers)}
    resumed = dataclasses.replace(stored, **free)
    for key, value in _flat(to_dict(asked)).items():
        if value != (kept := _flat(to_dict(resumed))[key]):
            raise InputError(f"{out} was started with {key} = {kept!r}, not {value!r}; resume with that, or use another --out")
    return resumed


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat


def clear_folder(out: Path, overwrite: bool) -> None:
    """Makes sure that a new run meets no other: removes an earlier run's own files where that was asked for.

    Raises:
        InputError: the folder holds a run, or other things that are not ours to remove.
    """
    if not out.exists() or not any(out.iterdir()):
        return
    if not (out / CONFIG).exists() and not (out / STATE_FOLDER).exists():
        raise InputError(f"--out {out} holds other files; choose a new folder")
    if not overwrite:
        raise InputError(f"--out {out} holds a run; go on with --resume, replace it with --overwrite, or choose another")
    if (out / CONFIG).exists():
        read_config(out)  # refuses to remove a config.json that is not ours
    for name in (CONFIG, WEIGHTS, "log.csv", "summary.json"):
        (out / name).unlink(missing_ok=True)
    for name in (STATE_FOLDER, "tensorboard"):
        shutil.rmtree(out / name, ignore_errors=True)


def open_splits(config: TrainConfig) -> tuple[Catalogue, Catalogue]:
    """The products to learn from and those that choose the checkpoint.

    A catalogue without a val split gives up 5 % of its train products (at most 2,000), chosen by the seed.
    """
    data = config.data
    columns = Columns(data.image_column, data.caption_column, data.id_column, data.tag_columns)
    splits = splits_of(data.data)

    # ``description`` is no column but the product's own text, unless it was given another column's name.
    tags = [tag for tag in data.tags if tag != DESCRIPTION or data.tag_columns.get(tag, tag) != DESCRIPTION]

    def open_split(name: str) -> Catalogue:
        return open_catalogue(data.data, name, tags=tags if data.tags else None, columns=columns, on_bad_row=data.on_bad_row)

    train_data = open_split("train" if "train" in splits else splits[0])
    if "val" in splits:
        return train_data, open_split("val")
    order = np.random.default_rng(config.seed).permutation(len(train_data))
    held_out = min(MOST_HELD_OUT, max(1, round(HELD_OUT * len(train_data))))
    return Subset(train_data, np.sort(order[held_out:])), Subset(train_data, np.sort(order[:held_out]))

"""Starts or resumes a training run: resolves settings, opens data, prepares the folder."""

import contextlib
import dataclasses
import itertools
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from e2.checkpoint import CONFIG, LAST, TOKENIZER, WEIGHTS, load, read_config, weights_sha256
from e2.config import EPOCHS, TrainConfig
from e2.counting import counted
from e2.data import Catalogue, parse_tags, splits_of
from e2.data.decoders import require_decoder
from e2.distributed import on_main, processes
from e2.errors import InputError, printable
from e2.files import atomic_path
from e2.json_once import RepeatedKey
from e2.lockfile import LockFile
from e2.notes import say
from e2.outputs import claim
from e2.settings import deep_update, flattened, from_dict, merged, to_dict, with_key
from e2.training.dry_run import PHOTOS, dry_run
from e2.training.presets import preset
from e2.training.settings import parse_settings, yaml_once
from e2.training.splits import HELD_OUT, open_second, with_data
from e2.training.state import FOLDER as STATE_FOLDER
from e2.training.state import RUN, SUMMARY, check_data, named, read_state, remove_state, states
from e2.training.train import train
from e2.training.validation import FirstPhotos, validate
from e2.training.wise_ft import interpolate_checkpoint


def start_run(
    out: Path,
    options: Mapping[str, Any],
    *,
    config_file: Path | None = None,
    settings: Sequence[str] = (),
    resume: bool = False,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Trains a model and returns the summary, which is also written to ``out/summary.json``.

    Args:
        out: the run's folder.
        options: settings by dotted name, e.g. ``{"method": "e2", "data.data": "boutique", "data.tags": "brand,season"}``.
        config_file: YAML file with settings; ``options`` override it, and it overrides the preset.
        settings: further ``KEY=VALUE`` settings, which override all others.
        resume: continue the stopped run in ``out``, or start one.
        overwrite: replace an earlier run in ``out``.

    Raises:
        InputError: settings, data or folder that do not fit.
    """
    finished, begun = (out / SUMMARY).exists(), bool(states(out))
    if resume and (finished or begun):
        config = resume_settings(out, options, config_file, settings)
    else:
        config = resolve(options, config_file, settings)
    processes(on_cpu=config.device == "cpu")
    with locked(out):
        on_main(lambda: remove_leftovers(out))
        if resume and finished:
            on_main(lambda: remove_state(out))  # a kill may have left some of it
            return read_summary(out)
        if not (resume and begun):
            on_main(lambda: claim(out, RUN, overwrite=overwrite or resume, remove=False))
        return run_to_the_end(config, out, resume=resume and begun)


def try_run(out: Path, options: Mapping[str, Any], *, config_file: Path | None = None, settings: Sequence[str] = ()) -> dict:
    """Checks a run in seconds, with the photos of the first products and one step; writes nothing.

    Returns the result of :func:`e2.training.dry_run.dry_run`; arguments and errors are those of :func:`start_run`.
    """
    config = resolve(options, config_file, settings)
    processes(on_cpu=config.device == "cpu")
    on_main(lambda: claim(out, RUN, overwrite=True, remove=False))
    require_decoder(config.data.decoder, processes().device)
    announce(config)
    config, train_data, val_data = with_data(config, most_photos=PHOTOS)
    open_second(config, most_photos=PHOTOS)
    return dry_run(config, train_data, val_data, out)


def announce(config: TrainConfig) -> None:
    """Says what will run, before the data is read, which may take minutes."""
    if not processes().is_main_process:
        return
    data, count, device = config.data, processes().num_processes, processes().device.type
    length = counted(config.steps, "step") if config.steps else counted(config.epochs or EPOCHS, "epoch")
    chosen = "its val split" if "val" in splits_of(data.data) else f"{HELD_OUT:.0%} of it, held out,"
    where = f"{count} processes of {device}" if count > 1 else device
    say(f"{config.method} of {config.backbone} on {where}: {length} of batches of {data.batch_size}")
    if data.more:
        chosen = f"of {data.data} {chosen}"
    say(f"{', '.join([data.data, *data.more])}: read and checked first; {chosen} will choose the checkpoint")


def run_to_the_end(config: TrainConfig, out: Path, *, resume: bool) -> dict[str, Any]:
    """Opens the data, trains and writes the summary."""
    require_decoder(config.data.decoder, processes().device)
    announce(config)
    config, train_data, val_data = with_data(config)
    on_main(lambda: check_data(out, named(train_data, val_data)) if resume else None)
    progress = train(config, train_data, val_data, out, second=open_second(config), resume=resume)
    processes().wait_for_everyone()  # the main process has written the weights
    summary = {
        "out": str(out),
        "method": config.method,
        "step": progress.best_step,
        "val_SumR": progress.best,
        "weights_sha256": weights_sha256(out),
        "history": progress.history,
    }
    if config.wise_ft is not None:
        summary |= interpolate(config, config.wise_ft, val_data, out)
    if processes().is_main_process:
        with atomic_path(out / SUMMARY) as path:
            path.write_text(json.dumps(summary, indent=2) + "\n")
        remove_state(out)  # last: without the summary the run is not finished
    return summary


def read_summary(out: Path) -> dict[str, Any]:
    """Reads the summary of a finished run."""
    try:
        summary = json.loads((out / SUMMARY).read_text())
        return {**summary, "step": int(summary["step"]), "val_SumR": float(summary["val_SumR"])}
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise InputError(f"{out / SUMMARY} is damaged; remove it and train again with --overwrite") from error


def interpolate(config: TrainConfig, alpha: float, val_data: Catalogue, out: Path) -> dict[str, Any]:
    """Moves the saved weights back towards the start model and evaluates them; returns changes of the summary."""
    on_main(lambda: interpolate_checkpoint(out, alpha))
    model, transform, tokenizer = load(out)
    device = processes().device
    metrics = validate(
        model.to(device),
        FirstPhotos(val_data, transform, config.data.measured_text),
        tokenizer,
        batch_size=2 * config.data.batch_size,
        workers=config.data.workers,
        device=device,
    )
    return {"wise_ft": alpha, "val_SumR": metrics["SumR"], "weights_sha256": weights_sha256(out)}


@contextlib.contextmanager
def locked(out: Path) -> Iterator[None]:
    """Keeps other runs out of the folder. The lock lies beside the folder, which may not exist yet."""
    lock = LockFile(out.absolute().parent / f".{out.absolute().name}.lock")
    on_main(lambda: lock.acquire_for(out, f"another run is writing to {out}; wait for its end or choose another --out"))
    try:
        yield
    finally:
        lock.release()


def resolve(options: Mapping[str, Any], config_file: Path | None, settings: Sequence[str]) -> TrainConfig:
    """Merges settings: defaults, then preset, file, options and single settings."""
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
    changes: dict[str, Any] = {}
    for key, value in [*dotted.items(), *parse_settings(settings).items()]:
        changes = deep_update(changes, with_key(key, value))
    return changes


def read_yaml(path: Path) -> dict[str, Any]:
    """Reads settings from a YAML file."""
    try:
        content = yaml_once(path.read_text()) or {}
    except OSError as error:
        raise InputError(f"--config {path}: {error.strerror}") from error
    except RepeatedKey as error:
        raise InputError(f"--config {path} names {printable(str(error))!r} twice; keep one of them") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"--config {path} is not valid YAML: {' '.join(str(error).split())[:200]}") from error
    if not isinstance(content, dict):
        raise InputError(f"--config {path} must hold settings as `key: value`")
    return content


def resume_settings(out: Path, options: Mapping[str, Any], config_file: Path | None, settings: Sequence[str]) -> TrainConfig:
    """Returns the stored settings of a run. Device and workers may change; other differences are refused."""
    finished = (out / SUMMARY).exists()  # then a leftover state was being removed
    values = read_config(out)["training"] if finished else read_state(out)[2]
    stored = from_dict(TrainConfig, values, f"the settings stored in {out}")
    asked = merged(stored, read_yaml(config_file) if config_file else {}, str(config_file))
    asked = merged(asked, as_changes(options, settings), "options")
    free = {"device": asked.device, "data": dataclasses.replace(stored.data, workers=asked.data.workers)}
    resumed = dataclasses.replace(stored, **free)
    for key, value in flattened(to_dict(asked)).items():
        if value != (kept := flattened(to_dict(resumed)).get(key)):
            raise InputError(f"{out} was started with {key} = {kept!r}, not {value!r}; resume with that, or use another --out")
    return resumed


def remove_leftovers(out: Path) -> None:
    """Removes half-written temporary files that a killed run left."""
    names = [out / name for name in (CONFIG, WEIGHTS, LAST, "step-*.safetensors", SUMMARY, "log.csv", TOKENIZER)]
    names.append(out / STATE_FOLDER / "step-*")
    for path in itertools.chain.from_iterable(name.parent.glob(f".{name.name}.*.tmp*") for name in names):
        path.unlink() if path.is_file() else shutil.rmtree(path, ignore_errors=True)

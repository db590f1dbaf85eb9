"""Training state on disk: everything that an exact resume needs, replaced as a whole.

``training/step-00001200/`` holds ``state.safetensors`` (weights, optimizer moments) and ``state.json`` (everything else). A
folder gets its final name only when complete, and older ones are removed afterwards: a run killed at any moment leaves at
least one complete state.
"""

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch.distributed.checkpoint.state_dict import StateDictOptions, set_model_state_dict

from e2.checkpoint import CONFIG, LAST, TOKENIZER, WEIGHTS, read_tensors, whole
from e2.data.fingerprint import facts, require_same
from e2.data.mixture import Mixture
from e2.data.product import Catalogue
from e2.errors import InputError
from e2.files import atomic_folder, atomic_path
from e2.methods import Method
from e2.outputs import OutputKind, claim, is_ours, record_folder
from e2.training.average import WeightAverage
from e2.training.optim import load_named_state, named_state

MOMENTS, AVERAGE = "optimizer/", "average/"  # before the names of the optimizer's and the average's tensors in a state
FOLDER, SUMMARY, DATA = "training", "summary.json", "data.json"
RUN = OutputKind(
    "a run",
    finished=SUMMARY,
    begun=CONFIG,
    names=(CONFIG, WEIGHTS, LAST, "log.csv", TOKENIZER, FOLDER, "tensorboard", "wandb"),
)


@dataclass
class Progress:
    """Progress of a run."""

    step: int = 0  # steps done
    best: float = -1.0  # best validation SumR so far
    best_step: int = 0
    evaluations_without_best: int = 0
    history: list[dict[str, Any]] = field(default_factory=list)  # one entry per evaluation
    scaler: dict[str, Any] = field(default_factory=dict)  # fp16's gradient scaling


def state_tensors(
    method: Method, optimizer: torch.optim.Optimizer, average: WeightAverage | None = None
) -> dict[str, torch.Tensor]:
    """Weights, their average and optimizer moments, whole and on the CPU; with FSDP every process must call this."""
    tensors = {**method.state_dict(), **{MOMENTS + name: tensor for name, tensor in named_state(optimizer, method)}}
    tensors |= {AVERAGE + name: tensor for name, tensor in average.values.items()} if average else {}
    return {name: whole(tensor) for name, tensor in tensors.items()}


def save_state(out: Path, tensors: dict[str, torch.Tensor], progress: Progress, config: dict) -> Path:
    """Writes the state of ``progress.step``, then removes older ones."""
    target = out / FOLDER / f"step-{progress.step:08d}"
    if not target.exists():
        with atomic_folder(target) as folder:
            save_file(tensors, folder / "state.safetensors")
            (folder / "state.json").write_text(json.dumps({"progress": asdict(progress), "config": config}, indent=2))
    for older in states(out)[:-1]:
        shutil.rmtree(older, ignore_errors=True)
    return target


def named(train_data: Catalogue, val_data: Catalogue) -> dict[str, Catalogue]:
    """Names the products that a run reads; each of several catalogues by itself."""
    if not isinstance(train_data, Mixture):
        return {"train": train_data, "val": val_data}
    first, *further = train_data.catalogues
    return {"train": first, "val": val_data, **{f"{each.name}'s {each.split}": each for each in further}}


def begin(out: Path, data: Mapping[str, Catalogue]) -> None:
    """Prepares the folder for a new run, replacing an earlier one, and records its data."""
    claim(out, RUN, overwrite=True)
    record_folder(out, RUN)
    with atomic_path(out / FOLDER / DATA) as path:
        path.write_text(json.dumps({split: facts(products) for split, products in data.items()}, indent=2) + "\n")


def check_data(out: Path, data: Mapping[str, Catalogue]) -> None:
    """Refuses to resume a run on other products than it was started with."""
    record_folder(out, RUN)
    try:
        noted = json.loads((out / FOLDER / DATA).read_text())
    except (OSError, ValueError):  # from a version that recorded nothing
        return
    for split, products in data.items():
        require_same(f"{out}: {split} products", noted.get(split), facts(products))


def remove_state(out: Path) -> None:
    """Removes the files that only a resume needs."""
    if is_ours(out / FOLDER):
        shutil.rmtree(out / FOLDER, ignore_errors=True)


def states(out: Path) -> list[Path]:
    """Complete states of a run, oldest first."""
    return sorted((out / FOLDER).glob("step-*"))


def read_state(out: Path) -> tuple[Path, Progress, dict[str, Any]]:
    """Reads the newest state's folder, progress and configuration."""
    found = states(out)
    if not found:
        raise InputError(f"{out} holds no training state to resume from; start without --resume")
    path = found[-1] / "state.json"
    try:
        content = json.loads(path.read_text())
        return found[-1], progress_of(content["progress"]), content["config"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(f"{path} is damaged ({error}); remove {found[-1]} or start again with --overwrite") from error


def progress_of(values: dict[str, Any]) -> Progress:
    """Parses the progress that :func:`save_state` wrote.

    Raises:
        TypeError, ValueError: it was written by something else.
    """
    progress, usual = Progress(**values), Progress()
    for name in asdict(usual):
        value, kind = getattr(progress, name), type(getattr(usual, name))
        if type(value) is not kind and (type(value), kind) != (int, float):
            raise TypeError(f"{name} is {value!r}")
    if progress.step < 0:
        raise ValueError(f"step is {progress.step}")
    return progress


def load_state(folder: Path, method: Method, optimizer: torch.optim.Optimizer, average: WeightAverage | None = None) -> None:
    """Loads weights, their average and optimizer moments."""
    tensors = read_tensors(folder / "state.safetensors")
    if any(name.startswith("model/") for name in tensors):
        raise InputError(f"{folder} is of an earlier e2; finish it with that, or start again with --overwrite")
    moments, averages = (taken_out(tensors, prefix) for prefix in (MOMENTS, AVERAGE))
    weights: dict[str, Any] = dict(tensors)
    try:
        set_model_state_dict(method, weights, options=StateDictOptions(full_state_dict=True))
        load_named_state(optimizer, method, moments)
        if average is not None:
            average.load(averages)
    except (RuntimeError, KeyError) as error:
        raise InputError(f"{folder} does not fit this run's model; start again with --overwrite") from error


def taken_out(tensors: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    """Takes the tensors whose names begin with a prefix out of a state; returns them under the names without it."""
    names = [name for name in tensors if name.startswith(prefix)]
    return {name.removeprefix(prefix): tensors.pop(name) for name in names}

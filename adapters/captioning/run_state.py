"""State of an unfinished fit: one file, replaced as a whole, with all that an exact resume needs."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from e2.errors import InputError
from e2.files import atomic_tensors
from e2.training.optim import load_named_state, named_state

FOLDER = "training"
FILE = "state.safetensors"
MODEL, OPTIMIZER, FACTS = "model/", "optimizer/", "facts"


@dataclass
class Reached:
    """Progress of a fit: steps done, and one entry per evaluation."""

    step: int = 0
    history: list[dict[str, Any]] = field(default_factory=list)


def save_state(out: Path, model: nn.Module, optimizer: torch.optim.Optimizer, reached: Reached, config: dict) -> None:
    """Writes weights, optimizer moments (by parameter name), progress and settings."""
    tensors = {MODEL + name: tensor for name, tensor in model.state_dict().items()}
    tensors |= {OPTIMIZER + name: moment for name, moment in named_state(optimizer, model)}
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    with atomic_tensors(out / FOLDER / FILE) as path:
        save_file(tensors, path, {FACTS: json.dumps({"reached": asdict(reached), "config": config})})


def load_state(out: Path, model: nn.Module, optimizer: torch.optim.Optimizer, config: dict) -> Reached:
    """Loads the state; a fit without one starts at step 0."""
    path = out / FOLDER / FILE
    if not path.exists():
        return Reached()
    try:
        with safe_open(path, "pt") as file:
            facts = json.loads(file.metadata()[FACTS])
            require_same_settings(out, facts["config"], config)
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118, safe_open is not a mapping
        model.load_state_dict({n.removeprefix(MODEL): t for n, t in tensors.items() if n.startswith(MODEL)})
        moments = {n.removeprefix(OPTIMIZER): t for n, t in tensors.items() if n.startswith(OPTIMIZER)}
        load_named_state(optimizer, model, moments)
        return Reached(**facts["reached"])
    except (SafetensorError, OSError, TypeError, KeyError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"{path} is damaged ({reason}); start again with --overwrite") from error


def require_same_settings(out: Path, before: dict, now: dict) -> None:
    """Refuses to continue a fit with other settings.

    Args:
        out: the captioner's folder, for the message.
        before, now: all settings by name; those of `CaptionerConfig`, and the texts, photos and encoder.
    """
    differing = [name for name in now if before.get(name) != now[name]]
    if differing:
        raise InputError(
            f"{out} was started with other settings ({', '.join(differing)}); give the same to --resume, or use --overwrite"
        )

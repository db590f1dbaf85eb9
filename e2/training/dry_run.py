"""Checks a training in seconds, before it is started: settings, data, device, memory and a step. Writes nothing."""

import resource
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from e2.config import TrainConfig
from e2.counting import counted
from e2.data.product import Catalogue
from e2.distributed import own_shard
from e2.training.cache_room import human_size
from e2.training.prepare import Run, prepare
from e2.training.step import read, take_step
from e2.training.train import batches

PHOTOS = 256  # of each split that are decoded


def dry_run(config: TrainConfig, train_data: Catalogue, val_data: Catalogue, out: Path) -> dict[str, Any]:
    """Takes one step of a run; returns its sizes, the bytes that each process needs and the seconds of the step.

    Raises:
        InputError, TrainingStopped: what would end the run itself.
    """
    run = prepare(config, train_data, val_data, out)
    batch = next(batches(run))
    started = time.monotonic()
    take_step(run, batch)
    found = read(run)
    seconds = time.monotonic() - started
    return {
        "device": run.accelerator.device.type,
        "processes": run.accelerator.num_processes,
        "parameters": sum(p.numel() for p in run.model.parameters()),
        "train_products": len(train_data),
        "val_products": len(val_data),
        "batch_size": run.batch_size,
        "steps": run.steps,
        "eval_every": run.eval_every,
        "loss": sum(found.losses.values()) if found else None,
        "step_seconds": seconds,
        "bytes": plan(run),
    }


def plan(run: Run) -> dict[str, int]:
    """Bytes of one process after a step: what training holds all the time, and the peak."""
    learning = [p for p in run.method.parameters() if p.requires_grad]
    moments = [value for state in run.optimizer.state.values() for value in state.values() if isinstance(value, Tensor)]
    return {
        "weights": held([*run.method.parameters(), *run.method.buffers()]),
        "gradients": held(learning),
        "moments": held(moments),
        "average": held(run.average.values.values()) if run.average else 0,
        "peak": peak(run.accelerator.device),
    }


def held(tensors: Iterable[Tensor]) -> int:
    """Bytes of tensors, of sharded ones (FSDP) this process's part."""
    return sum(part.numel() * part.element_size() for part in map(own_shard, tensors))


def peak(device: torch.device) -> int:
    """Most bytes so far: allocated on a GPU, or resident of this process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def told(found: dict[str, Any]) -> str:
    """Reports the findings for people, one fact per line."""
    size = {name: human_size(count) for name, count in found["bytes"].items()}
    parts = ", ".join(
        f"{name} {size[name]}" for name in ("weights", "gradients", "moments", "average") if found["bytes"][name]
    )
    processes = f", {found['processes']} processes" if found["processes"] > 1 else ""
    return "\n".join(
        [
            f"{counted(found['train_products'], 'product')} to train on, {found['val_products']:,} to validate",
            f"{counted(found['steps'], 'step')} of {found['batch_size']}; validation every {found['eval_every']:,}",
            f"{found['parameters'] / 1e6:,.1f} million parameters on {found['device']}{processes}",
            f"memory: {parts}; peak of the first step {size['peak']}",
            f"first step: loss {found['loss']:.3f}, {found['step_seconds']:.2f} s; later ones may be faster",
            "ready: leave out --dry-run to train",
        ]
    )

"""Checks a training in seconds, before it is started: settings, data, device, memory and a step. Writes nothing."""

import contextlib
import dataclasses
import math
import os
import re
import resource
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from e2.batch import Batch
from e2.config import TrainConfig
from e2.counting import counted
from e2.data.photo_views import blank
from e2.data.product import Catalogue
from e2.distributed import as_on_main, own_shard
from e2.modes import in_mode
from e2.training.cache_room import human_size
from e2.training.compiling import uncompiled
from e2.training.prepare import Run, prepare
from e2.training.step import draw_noise, precision, read, take_step
from e2.training.train import batches

PHOTOS = 256  # of each split that are decoded
FEW = 4  # products of each process in a step instead of a long one
LONG = 10.0  # seconds


def dry_run(config: TrainConfig, train_data: Catalogue, val_data: Catalogue, out: Path) -> dict[str, Any]:
    """Takes one step of a run; returns its sizes, the bytes that each process needs and the seconds of the step.

    Where a step would take longer than `LONG`, which it does on CPUs, one of ``step_products`` is taken instead, and what one
    of the whole batch needs is computed from it.

    Raises:
        InputError, TrainingStopped: what would end the run itself.
    """
    run = prepare(config, train_data, val_data, out)
    found = measured(run)
    return {
        "device": run.accelerator.device.type,
        "processes": run.accelerator.num_processes,
        "parameters": sum(p.numel() for p in run.model.parameters()),
        "train_products": len(train_data),
        "val_products": len(val_data),
        "batch_size": run.batch_size,
        "steps": run.steps,
        "eval_every": run.eval_every,
        "step_products": found.products,
        "loss": found.loss,
        "step_seconds": found.seconds,
        "bytes": plan(run) | {"peak": found.peak},
    }


class Measured(NamedTuple):
    """A step of the whole batch, or of fewer products and what the whole batch needs by that."""

    products: int  # of the step
    loss: float | None
    seconds: float
    peak: int  # bytes


def measured(run: Run) -> Measured:
    """Takes a step of the whole batch, or, if that takes long, one of a few products."""
    few = FEW * run.accelerator.num_processes
    if run.accelerator.device.type == "cuda" or few >= run.batch_size or as_on_main(forward_seconds(run)) < LONG:
        return step_of(run, run.batch_size)
    found = step_of(run, few)
    own, chunk = math.ceil(run.batch_size / run.accelerator.num_processes), run.config.data.chunk_size
    kept = kept_bytes(run, few) // FEW * min(own, chunk or own)
    # in a backward pass activations make way for gradients; those of earlier chunks are there already
    both = 0 if chunk else min(kept, plan(run)["gradients"])
    return found._replace(seconds=found.seconds * run.batch_size / few, peak=found.peak + kept - both)


def step_of(run: Run, products: int) -> Measured:
    """Takes the next step, of so many products."""
    part, batch = loaded(run, products)
    forget_peak()
    started = time.monotonic()
    take_step(part, batch)
    found = read(run)
    seconds = time.monotonic() - started
    return Measured(products, sum(found.losses.values()) if found else None, seconds, peak(run.accelerator.device))


def loaded(run: Run, products: int) -> tuple[Run, Batch]:
    """The run with batches of so many products, and its next one; the loader's workers read no further."""
    config = dataclasses.replace(run.config, data=dataclasses.replace(run.config.data, batch_size=products))
    part = dataclasses.replace(run, config=config, batch_size=products)
    return part, next(batches(dataclasses.replace(part, steps=run.progress.step + 1)))


def kept_bytes(run: Run, products: int) -> int:
    """Bytes that the forward pass of so many products leaves for the gradient."""
    part, batch = loaded(run, products)
    draw_noise(part, batch)
    kept = Made([*run.method.parameters(), *run.method.buffers()])
    with uncompiled(run.config), kept, precision(run):
        features = run.method.features(batch)
    found = kept.held()
    del features  # with what its gradient needs
    return found


class Made(TorchDispatchMode):
    """Notes the memory of all results of operations within it, views of ``known`` tensors left out."""

    def __init__(self, known: Iterable[Tensor]):
        super().__init__()
        self._known = {tensor.untyped_storage()._cdata for tensor in known}
        self._made: dict[int, tuple[StorageWeakRef, int]] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, Tensor) and (storage := tensor.untyped_storage())._cdata not in self._known:
                self._made[storage._cdata] = (StorageWeakRef(storage), storage.nbytes())
        return result

    def held(self) -> int:
        """Bytes of those that somebody still refers to."""
        return sum(size for memory, size in self._made.values() if not memory.expired())


def forward_seconds(run: Run) -> float:
    """Seconds that the image tower would take for a step's photos there and back, by a blank one; the texts take less."""
    image = run.val.transform.normalised(blank(run.val.transform))[None].to(run.accelerator.device)
    with torch.inference_mode(), uncompiled(run.config), in_mode(run.model, training=False):
        for _ in range(2):  # the first pass sets things up
            started = time.monotonic()
            run.model.encode_image(image)
    return 3 * (time.monotonic() - started) * run.batch_size / run.accelerator.num_processes


def plan(run: Run) -> dict[str, int]:
    """Bytes of one process after a step that training holds all the time."""
    learning = [p for p in run.method.parameters() if p.requires_grad]
    moments = [value for state in run.optimizer.state.values() for value in state.values() if isinstance(value, Tensor)]
    return {
        "weights": held([*run.method.parameters(), *run.method.buffers()]),
        "gradients": held(learning),
        "moments": held(moments),
        "average": held(run.average.values.values()) if run.average else 0,
    }


def held(tensors: Iterable[Tensor]) -> int:
    """Bytes of tensors, of sharded ones (FSDP) this process's part."""
    return sum(part.numel() * part.element_size() for part in map(own_shard, tensors))


def forget_peak() -> None:
    """Starts a new peak of this process's resident memory, on Linux."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def peak(device: torch.device) -> int:
    """Most bytes so far: allocated on a GPU, or resident of this process, since it was forgotten."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    with contextlib.suppress(OSError):
        if found := re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text()):
            return int(found[1]) * 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def memory() -> int:
    """Bytes of this machine's memory."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else sys.maxsize


def told(found: dict[str, Any]) -> str:
    """Reports the findings for people, one fact per line."""
    size = {name: human_size(count) for name, count in found["bytes"].items()}
    parts = ", ".join(
        f"{name} {size[name]}" for name in ("weights", "gradients", "moments", "average") if found["bytes"][name]
    )
    processes = f", {found['processes']} processes" if found["processes"] > 1 else ""
    whole = found["step_products"] == found["batch_size"]
    peak = f"peak of the first step {size['peak']}" if whole else f"peak of a step about {size['peak']}"
    if found["device"] == "cpu" and found["processes"] * found["bytes"]["peak"] > (there := memory()):
        peak += f", more than the {human_size(there)} of this machine: lower --batch-size or give --chunk-size"
    loss, seconds = f"loss {found['loss']:.3f}", found["step_seconds"]
    few = f"first step: of {found['step_products']} products, {loss}; one of {found['batch_size']} takes about {seconds:.0f} s"
    return "\n".join(
        [
            f"{counted(found['train_products'], 'product')} to train on, {found['val_products']:,} to validate",
            f"{counted(found['steps'], 'step')} of {found['batch_size']}; validation every {found['eval_every']:,}",
            f"{found['parameters'] / 1e6:,.1f} million parameters on {found['device']}{processes}",
            f"memory: {parts}; {peak}",
            f"first step: {loss}, {seconds:.2f} s; later ones may be faster" if whole else few,
            "ready: leave out --dry-run to train",
        ]
    )

"""Prices the methods of `e2 train` side by side, in one trainer, for `e2 speed method-steps`.

Steps are taken in turn: one of each method, then again. So a gain of a method can be read next to what it costs.
"""

import statistics
from typing import Any

import torch

from e2.benchmarks.speed.cached_step import Steps, two_rounds
from e2.benchmarks.speed.harness import peak_memory, seconds
from e2.benchmarks.speed.train_step import DATA, TAGS, OurSteps, first_steps, loaded_batches, peak
from e2.config import TrainConfig

METHODS = ("clip", "multifield", "clip-pooled", "multifield-pooled", "e2")


def run(
    backbone: str = "e2-nano",
    batch_size: int = 128,
    *,
    methods: tuple[str, ...] = METHODS,
    precision: str = "bf16",
    data: str = DATA,
    tags: tuple[str, ...] = TAGS,
    gates: str = "stream",
    locations: str = "local",
    layers: tuple[int, ...] = (0,),
    cache: str = "",
    device: str = "auto",
    repeats: int = 3,
    seed: int = 0,
) -> dict[str, Any]:
    """Counts parameters and times steps on the same photos and texts: already decoded and tokenised, or from a cache.

    Args:
        backbone: one of open_clip's or ours, with random weights unless its name brings others.
        batch_size: products a step.
        methods: by name; the first is what the others are compared with.
        precision: fp32 or bf16 (autocast).
        data: where photos, descriptions and tags come from.
        tags: the entities.
        gates, locations: of the models with tokens.
        layers: after which tokens choose there; 0 = the default.
        cache: folder for what the image tower gives, which is frozen then, as in `e2 train --cache`; none = all learns.
        device: cpu, cuda or auto.
        repeats: steps of each method.
        seed: of weights, order and noise.

    Returns:
        ``rows``: of each method its parameters (image tower with what E2 adds; all), median seconds of a step, peak bytes (of
        a separate process; from photos on a GPU, of its allocations), and time and memory as a share of the first method's.
    """
    of_model = {"gates": gates, "locations": locations, "layers": None if layers == (0,) else list(layers)}
    of_data = {"data": data, "tags": list(tags), "batch_size": batch_size}
    if cache:
        of_data |= {"cache": cache, "workers": 1}
    configs = {
        name: first_steps(
            method=name,
            backbone=backbone,
            precision=precision,
            device=device,
            seed=seed,
            model=of_model,
            optim={"image_layers": 0} if cache else {},
            data=of_data,
        )
        for name in methods
    }
    peaks = {name: peak_bytes(config) for name, config in configs.items()}
    steps = {name: stepper(config) for name, config in configs.items()}
    for step in steps.values():
        step()  # warms up
    rounds = [{name: seconds(step) for name, step in steps.items()} for _ in range(repeats)]
    first, rows = methods[0], []
    for name, step in steps.items():
        model = step.run.model
        added = sum(p.numel() for p in model.new_parameters())
        rows.append(
            {
                "method": name,
                "image_parameters": sum(p.numel() for p in model.visual.parameters()) + added,
                "parameters": sum(p.numel() for p in model.parameters()),
                "seconds": statistics.median(each[name] for each in rounds),
                "time_ratio": statistics.median(each[name] / each[first] for each in rounds),
                "peak_bytes": peaks[name],
                "memory_ratio": peaks[name] / peaks[first],
            }
        )
    return {"rows": rows}


def stepper(config: TrainConfig) -> OurSteps | Steps:
    """Makes what takes a step at each call."""
    return Steps(config, config.data.cache, 1) if config.data.cache else OurSteps(config, loaded_batches(config))


def peak_bytes(config: TrainConfig) -> int:
    """Peak bytes of two steps in a process of their own; from photos on a GPU, of its allocations."""
    if config.data.cache:
        return peak_memory(two_rounds, config, config.data.cache, 1, torch.get_num_threads())
    return peak(OurSteps, config)

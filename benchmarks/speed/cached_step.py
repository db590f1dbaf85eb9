"""Times the steps of `e2 train --cache` against those of the same run without, for `e2 speed cached-step`.

The frozen layers' activations of each photo are on disk. Both runs load their batches as training does: one reads activations,
the other decodes photos and runs the frozen layers on them.
"""

import dataclasses
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from e2.batch import Batch
from e2.benchmarks.speed.harness import compare, peak_memory
from e2.benchmarks.speed.train_step import finish, first_steps, prepared
from e2.config import TrainConfig
from e2.training.step import take_step
from e2.training.train import batches
from e2.training.use_cache import use_cache

DATA = "boutique:train=1024,val=16,test=16,size=224"
TAGS = ("brand", "season", "sub_category", "composition")


def run(
    backbone: str = "ViT-B-16",
    batch_size: int = 128,
    *,
    method: str = "clip",
    image_layers: int = 0,
    text_layers: int = 0,
    precision: str = "bf16",
    data: str = DATA,
    tags: tuple[str, ...] = TAGS,
    locations: str = "patches",
    workers: int = 1,
    steps: int = 2,
    repeats: int = 3,
    device: str = "auto",
    seed: int = 0,
) -> dict[str, Any]:
    """Times both in turn, and measures the peak memory of the cached run in a process of its own.

    Args:
        backbone: one of open_clip's or ours, with random weights unless its name brings others.
        batch_size: products a step.
        method: of `e2 train`.
        image_layers, text_layers: groups of the towers that learn.
        precision: of both, fp32 or bf16 (autocast).
        data: where photos, descriptions and tags come from.
        tags: the entities.
        locations: that selection tokens choose among.
        workers: processes that load batches.
        steps: steps a round.
        repeats: rounds.
        device: cpu, cuda or auto.
        seed: of weights and order.

    Returns:
        The result of `harness.compare`, seconds per round; ``speed_up``, the steps of the cached run in the time of one of the
        other; ``peak_bytes`` of the cached run; ``photo_bytes`` of the cache; images per second of both.
    """
    config = first_steps(
        method=method,
        backbone=backbone,
        precision=precision,
        device=device,
        seed=seed,
        model={"gates": "pooled", "locations": locations},
        optim={"image_layers": image_layers, "text_layers": text_layers},
        data={"data": data, "tags": list(tags), "batch_size": batch_size, "workers": workers, "views": 1},
    )
    with tempfile.TemporaryDirectory() as folder:
        cached = Steps(config, folder, steps)
        timed = compare(cached, Steps(config, None, steps), repeats)
        peak = peak_memory(two_rounds, config, folder, steps, torch.get_num_threads())
        pictures: Any = cached.run.views.fixed
    return {
        **timed,
        "speed_up": 1 / timed["ratio"],
        "peak_bytes": peak,
        "photo_bytes": pictures.cache.bytes_a_photo() if pictures.cache else 0,
        "images_per_second": batch_size * steps / timed["ours_s"],
        "reference_images_per_second": batch_size * steps / timed["reference_s"],
    }


class Steps:
    """Takes steps of a training, one after another.

    Args:
        config: of the run.
        cache: folder of the activations; None = from pixels.
        count: steps a call.
    """

    def __init__(self, config: TrainConfig, cache: str | None, count: int):
        self.run = prepared(config)
        if cache is not None:
            use_cache(self.run, Path(cache))
        self.batches: Iterator[Batch] = batches(self.run)
        self.count = count

    def __call__(self) -> None:
        for _ in range(self.count):
            take_step(self.run, dataclasses.replace(next(self.batches)))
        finish(self.run.accelerator.device)


def two_rounds(config: TrainConfig, cache: str, steps: int, threads: int) -> None:
    """Runs two rounds; the second has the optimizer's state from the start."""
    torch.set_num_threads(threads)
    step = Steps(config, cache, steps)
    step()
    step()

"""Times a step of `e2 train` against plain CLIP fine-tuning as usually written, for `e2 speed train-step`.

Ours is the training loop's own step: selection tokens, region loss, gradient clipping, each description and tag text encoded
once and without padding. The plain one is open_clip's model, its `ClipLoss` and PyTorch's AdamW, with 77 tokens per
description and no tag texts. Both see the same photos and descriptions, already decoded and tokenised.
"""

import math
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import open_clip
import torch
from torch import nn

from e2.backbone_sources import register_backbones
from e2.batch import Batch
from e2.benchmarks.speed.harness import compare, peak_memory
from e2.config import TrainConfig
from e2.data import open_catalogue
from e2.data.loader import StepSampler, TrainingViews, training_loader
from e2.data.transforms import training_transform
from e2.factory import get_tokenizer
from e2.settings import from_dict
from e2.training.prepare import Run, prepare
from e2.training.step import take_step
from e2.training.train import ready

DATA = "boutique:train=1024,val=16,test=16,size=64"  # photos are resized; only the length of the texts matters
TAGS = ("brand", "season", "sub_category", "composition")
BATCHES = 1  # batches that both repeat
PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16}


def run(
    backbone: str = "e2-small",
    batch_size: int = 128,
    *,
    precision: str = "bf16",
    data: str = DATA,
    tags: Sequence[str] = TAGS,
    device: str = "auto",
    repeats: int = 3,
    seed: int = 0,
) -> dict[str, Any]:
    """Times both in turn (``repeats`` rounds of ``BATCHES`` steps), and measures the peak memory of each separately.

    The backbone is one of open_clip's or ours, with random weights; precision: fp32 or bf16 (autocast).

    Returns:
        The result of `harness.compare`, seconds per step; ``peak_bytes``, ``reference_peak_bytes`` (of a separate process; on
        a GPU, of its allocations) and ``memory_ratio``; images per second of both; sizes of what was encoded.
    """
    of_data = {"data": data, "tags": list(tags), "batch_size": batch_size}
    how = {"backbone": backbone, "precision": precision, "device": device, "seed": seed}
    config = first_steps(**how, model={"tags": list(tags)}, data=of_data)
    peaks = [peak(kind, config) for kind in (OurSteps, PlainSteps)]
    batches = loaded_batches(config)
    ours, plain = OurSteps(config, batches), PlainSteps(config, batches)
    timed = compare(ours, plain, repeats)
    timed |= {name: timed[name] / BATCHES for name in ("ours_s", "reference_s")}
    return {
        **timed,
        "memory_ratio": peaks[0] / peaks[1],
        "peak_bytes": peaks[0],
        "reference_peak_bytes": peaks[1],
        "images_per_second": batch_size / timed["ours_s"],
        "reference_images_per_second": batch_size / timed["reference_s"],
        **text_sizes(batches),
    }


def first_steps(**settings: Any) -> TrainConfig:
    """Makes the configuration of a training of which only the first steps are taken, long before the end of its schedule."""
    return from_dict(TrainConfig, {**settings, "steps": 1_000_000})


def loaded_batches(config: TrainConfig) -> list[Batch]:
    """First batches of a run, as its data workers deliver them."""
    register_backbones()
    visual = open_clip.create_model(config.backbone).visual
    views = TrainingViews(
        open_catalogue(config.data.data, "train", tags=config.data.tags, progress=False),
        training_transform(visual, config.data.augmentation),
        config.data.tags,
        text=config.data.text,
        prompt=config.loss.region_prompt,
        seed=config.seed,
    )
    sampler = StepSampler(len(views), config.data.batch_size, start=0, stop=BATCHES, seed=config.seed)
    return list(training_loader(views, sampler, get_tokenizer(config.backbone), workers=0, pin_memory=False))


def prepared(config: TrainConfig) -> Run:
    """A run of `e2 train` before its first step."""
    train, val = (open_catalogue(config.data.data, split, tags=config.data.tags, progress=False) for split in ("train", "val"))
    return prepare(config, train, val, Path())


class OurSteps:
    """Runs a step of `e2 train` on each of the batches."""

    def __init__(self, config: TrainConfig, batches: list[Batch]):
        self.run, self.batches = prepared(config), batches
        self.plan = self.run.method.planner()  # the loader's part, timed here as no other process takes it over

    def __call__(self) -> None:
        for batch in self.batches:
            take_step(self.run, ready(self.run, self.plan(batch)))
        finish(self.run.accelerator.device)


class PlainSteps:
    """Runs a step of plain CLIP fine-tuning on each of the batches, with open_clip alone."""

    def __init__(self, config: TrainConfig, batches: list[Batch]):
        on_gpu = config.device == "cuda" or (config.device == "auto" and torch.cuda.is_available())
        self.device, self.precision = torch.device("cuda" if on_gpu else "cpu"), config.precision
        register_backbones()
        torch.manual_seed(config.seed)
        self.model = open_clip.create_model(config.backbone, output_dict=True).train().to(self.device)
        self.loss = open_clip.ClipLoss()
        self.optimizer = plain_optimizer(self.model)
        self.batches = [(batch.images, batch.tokens[batch.text_index]) for batch in batches]

    def __call__(self) -> None:
        for images, tokens in self.batches:
            images, tokens = images.to(self.device), tokens.to(self.device)
            self.optimizer.zero_grad()
            with torch.autocast(self.device.type, dtype=PRECISIONS[self.precision], enabled=self.precision != "fp32"):
                loss = self.loss(**self.model(images, tokens))
            loss.backward()
            self.optimizer.step()
            with torch.no_grad():
                self.model.logit_scale.clamp_(0, math.log(100))
        finish(self.device)


def plain_optimizer(model: nn.Module) -> torch.optim.Optimizer:
    """Makes open_clip's training optimizer: AdamW, no decay for vectors and scalars."""
    flat = [p for p in model.parameters() if p.ndim < 2]
    rest = [p for p in model.parameters() if p.ndim >= 2]
    groups = [{"params": flat, "weight_decay": 0.0}, {"params": rest, "weight_decay": 0.2}]
    return torch.optim.AdamW(groups, lr=1e-6, betas=(0.9, 0.98), eps=1e-6)


def finish(device: torch.device) -> None:
    """Waits for a GPU, which works on after a call has returned."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def peak(kind: type, config: TrainConfig) -> int:
    """Peak bytes of two rounds of one implementation."""
    if config.device == "cpu" or not torch.cuda.is_available():
        return peak_memory(two_rounds, kind, config, torch.get_num_threads())
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    two_rounds(kind, config, torch.get_num_threads())
    return torch.cuda.max_memory_allocated()


def two_rounds(kind: type, config: TrainConfig, threads: int) -> None:
    """Runs two rounds; the second has the optimizer's state from the start."""
    torch.set_num_threads(threads)
    step = kind(config, loaded_batches(config))
    step()
    step()


def text_sizes(batches: list[Batch]) -> dict[str, float]:
    """Average sizes of the texts of a batch."""
    return {
        "description_tokens": statistics.mean(float(lengths(batch)[batch.text_index].mean()) for batch in batches),
        "longest_text": statistics.mean(int(lengths(batch).max()) for batch in batches),
        "unique_texts": statistics.mean(len(batch.tokens) for batch in batches),
    }


def lengths(batch: Batch) -> torch.Tensor:
    """Tokens of each text (U,), start and end included."""
    return (batch.tokens.argmax(dim=-1) + 1).float()

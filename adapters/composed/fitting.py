"""Training loop shared by all mappings: AdamW on a frozen encoder, held-out loss, the best weights kept, early stop."""

import contextlib
import copy
import time
from collections.abc import Callable, Iterator
from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from e2.adapters.composed.injection import token_width
from e2.adapters.encoder import Encoder
from e2.errors import InputError
from e2.finite import clip_finite_gradient, require_finite_loss
from e2.progress import with_progress
from e2.settings import Count, Fraction, Positive, Seed, Weight, setting, settings
from e2.training.optim import decay_groups, rate_factor

CLIP_NORM = 1.0
WARMUP = 0.05  # share of the steps


@settings
class FitConfig:
    """Settings of a mapping's training."""

    steps: Count = setting(1000, "most steps")
    batch_size: Count = setting(128, "texts or photos a step")
    lr: Positive = setting(1e-3, "peak rate; linear warm-up, then a half cosine to zero")
    weight_decay: Weight = setting(0.01, "AdamW's")
    patience: Count = setting(5, "held-out evaluations without progress before training stops")
    evaluations: Count = setting(20, "number of evaluations, spread evenly over the steps")
    held_out: Annotated[float, Field(gt=0, lt=1)] = setting(0.05, "share of the data kept for them; at most 1,000 rows")
    input: Literal["unit", "raw"] = setting("unit", "of the mapping: embeddings of unit length, or as the towers give them")
    hidden: Count | None = setting(None, "width of the mapping's layers; null = the paper's rule")
    dropout: Fraction | None = setting(None, "of the mapping; null = the paper's")
    seed: Seed = setting(0, "of weights, order and noise")


def new_mapping(network: type[nn.Module], features: Tensor, encoder: Encoder, config: FitConfig) -> nn.Module:
    """Makes an untrained mapping of features (N, D) to words, on the encoder's device."""
    torch.manual_seed(config.seed)
    options = {name: value for name in ("hidden", "dropout") if (value := getattr(config, name)) is not None}
    return network(features.shape[1], token_width(encoder.text_tower), **options).to(encoder.device)


def fit_mapping(
    mapping: nn.Module,
    loss: Callable[[Tensor, torch.Generator], Tensor],
    rows: int,
    config: FitConfig,
    encoder: Encoder,
    *,
    progress: bool = True,
) -> dict[str, Any]:
    """Trains a mapping in place and keeps the weights of the least held-out loss.

    Args:
        mapping: on the encoder's device.
        loss: (row numbers (B,) on the CPU, generator for noise on the CPU) -> scalar.
        encoder: frozen; the gradients flow through its text tower.

    Returns:
        ``steps`` done, ``seconds``, ``held_out_loss`` of the weights kept and ``curve``: (step, held-out loss) pairs.

    Raises:
        InputError: fewer than two rows.
        TrainingStopped: a loss, held-out loss or gradient is not finite.
    """
    if rows < 2:
        raise InputError(f"a mapping cannot be fitted on {rows} example; give two or more, better thousands")
    start = time.perf_counter()
    generator = torch.Generator().manual_seed(config.seed)
    train, held = _split(rows, config, generator)
    groups = decay_groups(mapping.parameters(), config.weight_decay)
    optimizer = torch.optim.AdamW(groups, lr=config.lr, betas=(0.9, 0.98), eps=1e-6)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: rate_factor(step, config.steps, WARMUP))
    every = max(1, config.steps // config.evaluations)
    best, best_weights, waited, curve = float("inf"), copy.deepcopy(mapping.state_dict()), 0, []
    with encoder.frozen(), _deterministic(config.seed):
        batches = _batches(train, config.batch_size, generator)
        for step in with_progress(range(1, config.steps + 1), "Fitting", config.steps, progress):
            mapping.train()
            with encoder.autocast():
                value = loss(next(batches), generator)
            require_finite_loss(value.item(), f"the loss at step {step}")
            optimizer.zero_grad(set_to_none=True)
            value.backward()
            clip_finite_gradient(mapping, CLIP_NORM, step)
            optimizer.step()
            schedule.step()
            if step % every == 0 or step == config.steps:
                curve.append((step, _held_out_loss(mapping, loss, held, config, encoder)))
                require_finite_loss(curve[-1][1], f"the held-out loss after step {step}")
                if curve[-1][1] < best:
                    best, best_weights, waited = curve[-1][1], copy.deepcopy(mapping.state_dict()), 0
                else:
                    waited += 1
                if waited >= config.patience:
                    break
    mapping.load_state_dict(best_weights)
    mapping.eval()
    seconds = round(time.perf_counter() - start, 2)
    return {"steps": step, "seconds": seconds, "held_out_loss": best, "rows": rows, "curve": curve}


def _split(rows: int, config: FitConfig, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    order = torch.randperm(rows, generator=generator)
    held = min(1000, max(1, round(config.held_out * rows)))
    return order[held:], order[:held]


def _batches(rows: Tensor, size: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Yields batches endlessly, each pass in a new order; an incomplete batch is dropped if there are full ones."""
    while True:
        order = rows[torch.randperm(len(rows), generator=generator)]
        full = len(order) // size * size or len(order)
        yield from order[:full].split(size)


@torch.no_grad()
def _held_out_loss(mapping: nn.Module, loss: Callable, held: Tensor, config: FitConfig, encoder: Encoder) -> float:
    """Mean over the held-out rows, with the same noise at every evaluation."""
    mapping.eval()
    generator = torch.Generator().manual_seed(config.seed)
    parts = held.split(config.batch_size)
    with encoder.autocast():
        values = [float(loss(part, generator)) * len(part) for part in parts]
    return sum(values) / len(held)


@contextlib.contextmanager
def _deterministic(seed: int) -> Iterator[None]:
    """Seeds the global generator, which dropout uses, and restores it."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        yield

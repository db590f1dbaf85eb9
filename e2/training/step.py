"""One training step: gradients of the whole batch, over chunks and processes, clipped and applied."""

import contextlib
import math
from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn.utils import clip_grads_with_norm_, get_total_norm

from e2.attention import chunked_attention
from e2.batch import Batch
from e2.data.loader import mixed_seed
from e2.distributed import average_gradients, gather_step, own_rows
from e2.errors import TrainingStopped
from e2.finite import broken_gradients
from e2.training.grad_cache import CachedFeatures
from e2.training.optim import set_rates
from e2.training.prepare import Run
from e2.training.sharding import scale_down, sharded_norm


def take_step(run: Run, batch: Batch) -> tuple[dict[str, Tensor], float]:
    """Takes one training step; returns the loss's terms and the gradient norm before clipping.

    Raises:
        TrainingStopped: the loss or a gradient is not finite; the weights are unchanged.
    """
    set_rates(run.optimizer, run.progress.step, run.steps, run.config.optim)
    set_temperature(run)
    run.method.train()
    draw_noise(run, batch)
    run.optimizer.zero_grad(set_to_none=True)
    losses = find_gradients(run, batch)
    norm = clip_gradients(run)
    run.optimizer.step()
    clamp_scale(run)
    run.progress.step += 1
    if run.average is not None:
        run.average.update(run.progress.step)
    return losses, norm


def draw_noise(run: Run, batch: Batch) -> None:
    """Draws the step's selection noise for the whole batch, whatever part this process and chunk hold."""
    step, rank, device = run.progress.step, run.accelerator.process_index, run.accelerator.device
    torch.manual_seed(mixed_seed(run.config.seed, step, 0))
    noise = run.method.draw_noise(run.batch_size, device)
    rows = torch.tensor(own_rows(run.batch_size), device=device)
    batch.noise = {layer: tensor if len(rows) == len(tensor) else tensor[rows] for layer, tensor in noise.items()}
    if rank:
        torch.manual_seed(mixed_seed(run.config.seed, step, rank))  # for a backbone's own dropout


def find_gradients(run: Run, batch: Batch) -> dict[str, Tensor]:
    """Computes the gradients of the whole batch's loss; returns the loss's terms.

    Raises:
        TrainingStopped: the loss is not finite.
    """
    cached, size = None, run.config.data.chunk_size
    if size:
        cached = CachedFeatures(run.method, batch, size, lambda: precision(run))
    with precision(run):
        features = cached.features if cached else run.method.features(batch)
        if run.accelerator.num_processes > 1:
            features, batch = gather_step(features, batch)
        losses = run.method.losses(features, batch)
        check_losses(run, losses)
        run.accelerator.backward(sum(losses.values()))
    if cached:
        cached.backward()
    if run.accelerator.num_processes > 1:
        average_gradients(run.method.parameters())
    return losses


@contextlib.contextmanager
def precision(run: Run) -> Iterator[None]:
    """Enters autocast as configured, with the fastest attention."""
    chunked = run.accelerator.device.type == "cpu" and run.config.precision == "bf16"
    with run.accelerator.autocast(), chunked_attention() if chunked else contextlib.nullcontext():
        yield


def check_losses(run: Run, losses: dict[str, Tensor]) -> None:
    """Stops at a loss that is not finite."""
    values = {name: value.item() for name, value in losses.items()}
    if not all(map(math.isfinite, values.values())):
        parts = ", ".join(f"{name} {value:.4g}" for name, value in values.items())
        raise not_finite(run, f"loss is not finite at step {run.progress.step}: {parts}")


def clip_gradients(run: Run) -> float:
    """Clips the whole gradient and returns its norm before clipping.

    Raises:
        TrainingStopped: it is not finite (allowed in fp16, whose loss scaler skips the step and scales less).
    """
    learning = [p for p in run.method.parameters() if p.grad is not None]
    if run.sharded:
        norm = sharded_norm(learning)
    else:
        run.accelerator.unscale_gradients()
        norm = get_total_norm([p.grad for p in learning if p.grad is not None])
    value, limit = float(norm), run.config.optim.clip_norm
    if not math.isfinite(value):
        if run.accelerator.scaler is None:
            broken = broken_gradients(run.method.named_parameters())
            raise not_finite(run, f"gradient is not finite at step {run.progress.step}: {broken}")
    elif limit is not None and run.sharded:
        scale_down(learning, limit, value)
    elif limit is not None:
        clip_grads_with_norm_(learning, limit, norm)
    return value


def not_finite(run: Run, what: str) -> TrainingStopped:
    """Builds the stop for non-finite numbers, before they reach the weights or the choice of a checkpoint."""
    best = f"the best checkpoint (step {run.progress.best_step}) is in {run.out}"
    kept = best if run.progress.best_step else "none was saved yet"
    return TrainingStopped(f"{what}; {kept}; lower optim.lr or use --precision fp32")


def clamp_scale(run: Run) -> None:
    """Keeps exp(logit_scale) within CLIP's bound; the sigmoid loss has none (pre-trained SigLIP's is 117)."""
    if run.config.loss.max_logit_scale is not None and not run.method.sigmoid:
        with torch.no_grad():
            run.model.logit_scale.clamp_(0.0, torch.tensor(run.config.loss.max_logit_scale).log().item())


def set_temperature(run: Run) -> None:
    """Sets the temperature by its schedule, if any (Yaras et al., CPAL 2025: a rising one narrows the modality gap)."""
    if run.config.loss.temperature is not None:
        first, last = run.config.loss.temperature
        temperature = first + (last - first) * run.progress.step / max(1, run.steps - 1)
        with torch.no_grad():
            run.model.logit_scale.fill_(-math.log(temperature))

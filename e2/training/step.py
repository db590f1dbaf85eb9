"""One training step: gradients of the whole batch, over chunks and processes, clipped and applied."""

import contextlib
import math
from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import Parameter
from torch.nn.utils import clip_grads_with_norm_

from e2.batch import Batch
from e2.data.seeds import mixed_seed
from e2.devices import computing_in, dtype_of
from e2.distributed import gather_step, own_rows, shared_means
from e2.errors import TrainingStopped
from e2.towers import open_tower
from e2.training.averaging import GradientAverage
from e2.training.grad_cache import CachedFeatures
from e2.training.optim import set_rates
from e2.training.patch_dropout import draw_patches
from e2.training.prepare import Run
from e2.training.sharding import scale_down, sharded_norms
from e2.training.watch import StepFindings


def take_step(run: Run, batch: Batch) -> None:
    """Takes one training step; the run's watch notes its losses and gradient, which change nothing if they are not finite."""
    set_rates(run.optimizer, run.progress.step, run.steps, run.config.optim)
    set_temperature(run)
    run.method.train()
    draw_noise(run, batch)
    run.optimizer.zero_grad(set_to_none=True)
    losses = find_gradients(run, batch)
    clip_gradients(run, losses)
    run.optimizer.step()
    clamp_scale(run)
    run.progress.step += 1
    if run.average is not None:
        run.average.update(run.progress.step)


def read(run: Run) -> StepFindings | None:
    """Waits for the last step and returns its findings.

    Raises:
        TrainingStopped: a step since the last call was not finite; it left the weights as they were.
    """
    try:
        return run.watch.read()
    except TrainingStopped as stopped:
        raise not_finite(run, stopped.reason) from None


def draw_noise(run: Run, batch: Batch) -> None:
    """Draws the step's selection noise, and the patches that it keeps, for the whole batch, whatever part this process and
    chunk hold."""
    step, rank, device = run.progress.step, run.accelerator.process_index, run.accelerator.device
    torch.manual_seed(mixed_seed(run.config.seed, step, 0))
    noise = run.method.draw_noise(run.batch_size, device)
    rows = own_rows(run.batch_size)
    batch.noise = {layer: tensor[rows.start :: rows.step] for layer, tensor in noise.items()}
    if run.config.optim.patch_dropout:
        patches = open_tower(run.model.visual).num_patches
        kept = draw_patches(run.batch_size, patches, run.config.optim.patch_dropout, device)
        batch.kept = kept[rows.start :: rows.step]
    if rank:
        torch.manual_seed(mixed_seed(run.config.seed, step, rank))  # for a backbone's own dropout


def find_gradients(run: Run, batch: Batch) -> dict[str, Tensor]:
    """Computes the gradients of the whole batch's loss; returns the loss's terms."""
    cached, size, several = None, run.config.data.chunk_size, run.accelerator.num_processes > 1
    average = GradientAverage(run.method.parameters() if several else (), of_texts(run) if size else ())
    if size:
        cached = CachedFeatures(run.method, batch, size, lambda: precision(run))
    with precision(run):
        features = cached.features if cached else run.method.features(batch)
        if several and not run.method.goes_round:
            features, batch = gather_step(features, batch)
            batch.targets = run.method.targets(batch)
        losses = run.method.losses(features, batch)
        with contextlib.nullcontext() if cached else average.during():
            run.accelerator.backward(sum(losses.values()))
    if cached:
        cached.backward(average.during)
    average.finish()
    return shared_means(losses) if several else losses


def of_texts(run: Run) -> Iterator[Parameter]:
    """Yields the weights that no photo's embedding depends on."""
    return (p for name, p in run.model.clip.named_parameters() if not name.startswith("visual."))


def precision(run: Run) -> contextlib.AbstractContextManager[None]:
    """Context in which steps compute, in the precision configured; torch.compile brings attention of its own."""
    return run.accelerator.autocast() if run.config.compile else as_encoders_compute(run)


def as_encoders_compute(run: Run) -> contextlib.AbstractContextManager[None]:
    """Context in which an encoder of this precision computes, to the bit."""
    return computing_in(dtype_of(run.config.precision), run.accelerator.device)


def clip_gradients(run: Run, losses: dict[str, Tensor]) -> None:
    """Clips the whole gradient; lets the optimizer leave out this step and all later ones if something is not finite."""
    named = {name: p for name, p in run.method.named_parameters() if p.grad is not None}
    learning, gradients = list(named.values()), [p.grad for p in named.values() if p.grad is not None]
    limit = run.config.optim.clip_norm
    if not run.sharded:
        run.accelerator.unscale_gradients()
    norms = sharded_norms(learning) if run.sharded else torch.stack(torch._foreach_norm(gradients, 2, torch.float32))
    norm = torch.linalg.vector_norm(norms)
    run.watch.note(run.progress.step, losses, list(named), norms, norm)
    if run.sharded:  # the kernel takes no plain tensor beside sharded ones
        read(run)
        if limit is not None:
            scale_down(learning, limit, float(norm))
        return
    if run.accelerator.scaler is None:
        run.optimizer.optimizer.found_inf = run.watch.broken  # type: ignore[attr-defined]
    if limit is not None:
        clip_grads_with_norm_(learning, limit, norm)


def not_finite(run: Run, what: str) -> TrainingStopped:
    """Builds the stop for non-finite numbers, before they reach the weights or the choice of a checkpoint."""
    best = f"the best checkpoint (step {run.progress.best_step}) is in {run.out}"
    kept = best if run.progress.best_step else "none was saved yet"
    return TrainingStopped(f"{what}; {kept}; lower optim.lr or use --precision fp32")


def clamp_scale(run: Run) -> None:
    """Keeps exp(logit_scale) within CLIP's bound; the sigmoid loss has none (pre-trained SigLIP's is 117)."""
    if run.config.loss.max_logit_scale is not None and not run.method.sigmoid:
        with torch.no_grad():
            run.model.logit_scale.clamp_(0.0, math.log(run.config.loss.max_logit_scale))


def set_temperature(run: Run) -> None:
    """Sets the temperature by its schedule, if any (Yaras et al., CPAL 2025: a rising one narrows the modality gap)."""
    if run.config.loss.temperature is not None:
        first, last = run.config.loss.temperature
        temperature = first + (last - first) * run.progress.step / max(1, run.steps - 1)
        with torch.no_grad():
            run.model.logit_scale.fill_(-math.log(temperature))

"""Training: one loop for every method, resumable bit for bit.

``OUT/`` is a checkpoint folder of the best weights so far (by validation SumR); ``OUT/training/`` holds the state to resume
from until the run is finished; ``OUT/log.csv`` and ``OUT/tensorboard/`` hold the curves.
"""

import contextlib
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import DistributedDataParallelKwargs
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from e2.checkpoint import save_config, save_weights
from e2.config import TrainConfig, to_dict
from e2.data.loader import StepSampler, TrainingViews, mixed_seed, training_loader
from e2.data.product import Catalogue
from e2.errors import InputError
from e2.factory import create_model_and_transforms, get_tokenizer
from e2.methods import Batch, Method, method_class
from e2.optim import make_optimizer, set_rates
from e2.runlog import RunLog
from e2.state import Progress, load_state, read_state, save_state
from e2.texts import cut_to_longest, pad_rows
from e2.validation import FirstPhotos, validate


class TrainingStopped(RuntimeError):
    """The run had to stop; the message says why and how to go on. What was reached is on disk."""


@dataclass
class Run:
    """Everything one training run consists of."""

    config: TrainConfig
    out: Path
    accelerator: Accelerator
    method: Method  # the bare module
    wrapped: torch.nn.Module  # the same behind accelerate's wrapper
    optimizer: torch.optim.Optimizer
    views: TrainingViews
    val: FirstPhotos
    tokenizer: Callable
    steps: int
    steps_per_epoch: int
    progress: Progress
    waited: float = 0.0  # seconds that the loop stood still for want of data, since the last log row

    @property
    def model(self):
        return self.method.model

    @property
    def eval_every(self) -> int:
        return self.config.eval_every or self.steps_per_epoch

    @property
    def save_every(self) -> int:
        return self.config.save_every or self.eval_every


def train(config: TrainConfig, train_data: Catalogue, val_data: Catalogue, out: Path, *, resume: bool = False) -> Progress:
    """Trains a model and leaves the best checkpoint in ``out`` (and the state, for the caller to remove when all is done).

    Args:
        config: all settings.
        train_data, val_data: products to learn from and held-out products that choose the checkpoint.
        out: the run's folder.
        resume: go on from ``out/training``; the configuration must be the one stored there.

    Raises:
        InputError: settings that do not fit the data or each other.
        TrainingStopped: a non-finite loss, or a stop by Ctrl-C or SIGTERM; the state is saved.
    """
    run = prepare(config, train_data, val_data, out)
    if resume:
        folder, run.progress, _ = read_state(out)
        load_state(folder, run.model, run.optimizer)
        if run.progress.scaler:
            run.accelerator.scaler.load_state_dict(run.progress.scaler)
    if run.accelerator.is_main_process:
        out.mkdir(parents=True, exist_ok=True)
        save_config(out, model=run.model, backbone=config.backbone, method=config.method, training=to_dict(config))
    fit(run)
    return run.progress


def prepare(config: TrainConfig, train_data: Catalogue, val_data: Catalogue, out: Path) -> Run:
    """Builds model, optimizer and data of a run, from the seed alone."""
    check_data(config, train_data)
    kind = method_class(config.method)
    accelerator = make_accelerator(config)
    torch.manual_seed(config.seed)
    model, transform, val_transform = create_model_and_transforms(
        config.backbone,
        config.pretrained,
        augment=config.data.augment,
        **{**to_dict(config.model), "tags": config.data.tags if kind.uses_tokens else ()},
    )
    method = kind(model, config.loss)
    optimizer = make_optimizer(model, config.optim, pretrained=config.pretrained is not None)
    method.to(accelerator.device)
    wrapped, optimizer = accelerator.prepare(method, optimizer)
    tags = config.data.tags if kind.uses_tags else ()
    views = TrainingViews(
        train_data, transform, tags, text=config.data.text, prompt=config.loss.region_prompt, seed=config.seed
    )
    steps_per_epoch = StepSampler(len(views), config.data.batch_size, start=0, stop=0, seed=0).steps_per_epoch
    return Run(
        config=config,
        out=out,
        accelerator=accelerator,
        method=method,
        wrapped=wrapped,
        optimizer=optimizer,
        views=views,
        val=FirstPhotos(val_data, val_transform, config.data.text),
        tokenizer=get_tokenizer(config.backbone),
        steps=config.steps or max(1, round((config.epochs or 10) * steps_per_epoch)),
        steps_per_epoch=steps_per_epoch,
        progress=Progress(),
    )


def make_accelerator(config: TrainConfig) -> Accelerator:
    """Device, processes and precision of a run.

    Raises:
        InputError: a GPU is asked for and there is none, or a precision that the device lacks.
    """
    if config.device == "cuda" and not torch.cuda.is_available():
        raise InputError("--device cuda: PyTorch sees no GPU here; use --device cpu, or auto")
    on_cpu = config.device == "cpu" or not torch.cuda.is_available()
    if config.precision == "fp16" and on_cpu:
        raise InputError("--precision fp16 needs a GPU; on the CPU use bf16 or fp32")
    AcceleratorState._reset_state()  # accelerate keeps the last run's precision for the whole process
    return Accelerator(
        mixed_precision="no" if config.precision == "fp32" else config.precision,
        cpu=on_cpu,
        # The paper's reader leaves the backbone's own projection idle, which a distributed wrapper must know.
        kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=config.model.reader == "paper")],
    )


def check_data(config: TrainConfig, train_data: Catalogue) -> None:
    """Refuses what cannot be trained on."""
    if len(train_data) < 2:
        raise InputError(f"{train_data.name}: contrastive training needs at least 2 products, the split has {len(train_data)}")
    if config.data.batch_size < 2:
        raise InputError(f"--batch-size {config.data.batch_size}: contrastive training needs at least 2 products a batch")
    if method_class(config.method).uses_tags and not config.data.tags:
        raise InputError(f"method {config.method} learns from tags: name the entities by --tags, e.g. --tags brand,season")


def fit(run: Run) -> None:
    """The loop: rates, batch, loss, backward, clip, step, log, evaluate, save."""
    config, accelerator, progress = run.config, run.accelerator, run.progress
    if progress.step >= run.steps:
        return
    with RunLog(run.out, run.steps, progress.step, show=accelerator.is_main_process) as log, stop_signals() as stopped:
        for batch in batches(run):
            step = progress.step
            set_rates(run.optimizer, step, run.steps, config.optim)
            torch.manual_seed(mixed_seed(config.seed, step, accelerator.process_index))  # selection noise of this step
            run.wrapped.train()
            with accelerator.autocast(), attention_for(accelerator.device):
                losses = run.wrapped(batch)
                loss = sum(losses.values())
                check_finite(run, losses)
                run.optimizer.zero_grad(set_to_none=True)
                accelerator.backward(loss)
            norm = clip_gradients(run)
            run.optimizer.step()
            clamp_scale(run)
            progress.step += 1
            if log.step(progress.step, losses, norm, run.optimizer, len(batch), run.model, run.waited):
                run.waited = 0.0
            if progress.step % run.eval_every == 0 or progress.step == run.steps:
                evaluate(run, log)
            if stopped() or progress.step % run.save_every == 0:
                save(run)
            if stopped():
                raise TrainingStopped(f"stopped at step {progress.step} of {run.steps}; go on with --resume --out {run.out}")
            if config.patience and progress.evaluations_without_best >= config.patience:
                log.say(f"no better SumR in {config.patience} evaluations: stopping early at step {progress.step}")
                break


def batches(run: Run) -> Iterator[Batch]:
    """The run's remaining batches on the device, texts cut to the longest of the batch."""
    accelerator = run.accelerator
    sampler = StepSampler(
        len(run.views),
        run.config.data.batch_size,
        start=run.progress.step,
        stop=run.steps,
        seed=run.config.seed,
        rank=accelerator.process_index,
        world=accelerator.num_processes,
    )
    pin = accelerator.device.type == "cuda"
    loader = training_loader(run.views, sampler, run.tokenizer, workers=run.config.data.workers, pin_memory=pin)
    asked = time.monotonic()
    for batch in loader:
        run.waited += time.monotonic() - asked
        batch.tokens = pad_rows(cut_to_longest(run.model.clip, batch.tokens))
        yield batch.to(accelerator.device)
        asked = time.monotonic()


def attention_for(device: torch.device) -> contextlib.AbstractContextManager:
    """The attention kernel for training: on the CPU the plain one, which is faster there at the lengths of a CLIP."""
    return sdpa_kernel(SDPBackend.MATH) if device.type == "cpu" else contextlib.nullcontext()


def check_finite(run: Run, losses: dict[str, Tensor]) -> None:
    """Stops before a non-finite loss can spoil the weights."""
    values = {name: value.item() for name, value in losses.items()}
    if all(torch.isfinite(torch.tensor(value)) for value in values.values()):
        return
    parts = ", ".join(f"{name} {value:.4g}" for name, value in values.items())
    good = (
        f"the best checkpoint (step {run.progress.best_step}) is in {run.out}"
        if run.progress.best_step
        else "none was saved yet"
    )
    raise TrainingStopped(
        f"loss is not finite at step {run.progress.step}: {parts}; {good}; lower optim.lr or use --precision fp32"
    )


def clip_gradients(run: Run) -> float:
    """Clips the whole gradient and returns its norm before clipping."""
    limit = run.config.optim.clip_norm or float("inf")
    return float(run.accelerator.clip_grad_norm_(run.wrapped.parameters(), limit))


def clamp_scale(run: Run) -> None:
    """Keeps exp(logit_scale) within CLIP's bound."""
    if run.config.loss.max_logit_scale is not None:
        with torch.no_grad():
            run.model.logit_scale.clamp_(0.0, torch.tensor(run.config.loss.max_logit_scale).log().item())


def evaluate(run: Run, log: RunLog) -> None:
    """Validates, and keeps the weights when they are the best so far."""
    progress = run.progress
    with run.accelerator.autocast():
        metrics = validate(
            run.model,
            run.val,
            run.tokenizer,
            batch_size=2 * run.config.data.batch_size,
            workers=run.config.data.workers,
            device=run.accelerator.device,
        )
    better = metrics["SumR"] > progress.best
    progress.history.append({"step": progress.step, **metrics})
    progress.evaluations_without_best = 0 if better else progress.evaluations_without_best + 1
    if better:
        progress.best, progress.best_step = metrics["SumR"], progress.step
        if run.accelerator.is_main_process:
            save_weights(run.model, run.out, {"step": str(progress.step), "val_SumR": f"{metrics['SumR']:.4f}"})
    log.evaluation(progress.step, metrics, better)


def save(run: Run) -> None:
    """Writes the resumable state (main process)."""
    if run.accelerator.scaler is not None:
        run.progress.scaler = run.accelerator.scaler.state_dict()
    if run.accelerator.is_main_process:
        save_state(run.out, run.model, run.optimizer, run.progress, to_dict(run.config))
    run.accelerator.wait_for_everyone()


class stop_signals:
    """Turns Ctrl-C and SIGTERM into a question the loop asks after each step, so that no step is cut in two."""

    def __enter__(self) -> Callable[[], bool]:
        self.raised = False
        self.before = {s: signal.signal(s, self._note) for s in (signal.SIGINT, signal.SIGTERM)}
        return lambda: self.raised

    def _note(self, signum: int, frame: object) -> None:
        self.raised = True

    def __exit__(self, *exception: object) -> None:
        for number, handler in self.before.items():
            signal.signal(number, handler)

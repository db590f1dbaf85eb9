"""Validation during a run, and what is kept: the best weights, the last ones, the state to resume from."""

import contextlib
from collections.abc import Iterator, Sequence

from torch.distributed.fsdp import FSDPModule

from e2.checkpoint import WEIGHTS, metadata_of, weights_of, write_weights
from e2.finite import NotFinite
from e2.outputs import record
from e2.settings import to_dict
from e2.training.bf16_weights import in_float32
from e2.training.compiling import uncompiled
from e2.training.lora import merged_weights
from e2.training.prepare import Run
from e2.training.runlog import RunLog
from e2.training.state import RUN, save_state, state_tensors
from e2.training.step import as_encoders_compute, not_finite, read
from e2.training.validation import FirstPhotos, validate


def evaluate(run: Run, log: RunLog) -> None:
    """Validates and keeps the weights if none were better; ties go to the latest, trained longest.

    Raises:
        TrainingStopped: the model's features are not finite.
    """
    progress = run.progress
    try:
        with averaged(run), as_encoders_compute(run), gathered_weights(run), uncompiled(run.config):
            metrics = measure(run, run.val)
            if run.second is not None:
                other = measure(run, run.second, run.config.data.tags)
                metrics |= {f"second_{name}": value for name, value in other.items()}
    except NotFinite as error:
        raise not_finite(run, f"validation at step {progress.step}: {error.found}") from error
    found = metrics["SumR"]
    progress.history.append({"step": progress.step, **metrics})
    progress.evaluations_without_best = 0 if found > progress.best else progress.evaluations_without_best + 1
    kept = found >= progress.best
    if kept:
        progress.best, progress.best_step = found, progress.step
        keep_weights(run, WEIGHTS)
    log.evaluation(progress.step, metrics, kept)


def measure(run: Run, products: FirstPhotos, entities: Sequence[str] = ()) -> dict[str, float]:
    """Validates on some products, and by the entities' values if there are any."""
    return validate(
        run.model,
        products,
        run.tokenizer,
        batch_size=2 * run.config.data.batch_size,
        workers=run.config.data.workers,
        device=run.accelerator.device,
        entities=entities,
        prompt=run.config.loss.region_prompt,
    )


def keep_step(run: Run) -> None:
    """Writes every n-th step's weights, if asked for, as ``step-N.safetensors``."""
    step = run.progress.step
    if run.config.keep_every and step % run.config.keep_every == 0:
        read(run)  # first: a step that is not finite ends the run
        name = f"step-{step:08d}.safetensors"
        if run.accelerator.is_main_process:
            record(run.out / name, RUN.name)
        keep_weights(run, name)


def keep_weights(run: Run, name: str) -> None:
    """Writes the current weights, or their average, to a file of the checkpoint folder, with step and validation."""
    said = {"step": str(run.progress.step)}
    if run.progress.history and (last := run.progress.history[-1])["step"] == run.progress.step:
        said["val_SumR"] = f"{last['SumR']:.4f}"
    with averaged(run):
        weights = in_float32(merged_weights(weights_of(run.model)))
        if run.accelerator.is_main_process:
            write_weights(weights, run.out / name, {**metadata_of(run.model), **said})


def averaged(run: Run) -> contextlib.AbstractContextManager[None]:
    """Lets the average of the weights, if there is one, stand in their place."""
    return contextlib.nullcontext() if run.average is None else run.average.in_place()


@contextlib.contextmanager
def gathered_weights(run: Run) -> Iterator[None]:
    """Lets callers use the model's own methods although FSDP has sharded the weights outside its blocks."""
    if isinstance(run.method, FSDPModule):
        run.method.unshard()
    yield
    if isinstance(run.method, FSDPModule):
        run.method.reshard()


def save(run: Run) -> None:
    """Writes the resumable state (main process only)."""
    if run.accelerator.scaler is not None:
        run.progress.scaler = run.accelerator.scaler.state_dict()
    tensors = state_tensors(run.method, run.optimizer, run.average)
    if run.accelerator.is_main_process:
        save_state(run.out, tensors, run.progress, to_dict(run.config))
    run.accelerator.wait_for_everyone()


def out_of_patience(run: Run) -> bool:
    patience = run.config.patience
    return patience is not None and run.progress.evaluations_without_best >= patience

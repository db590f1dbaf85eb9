"""Training: one loop for every method, resumable bit for bit.

``OUT/`` is a checkpoint folder of the best weights so far (by validation SumR; ties go to the latest), those of every n-th
step, if asked for, and, in the end, the last ones, ``last.safetensors``; ``OUT/training/`` holds the state to resume from
until the run is finished; ``OUT/log.csv`` and the trackers (``OUT/tensorboard/``) hold the curves.
"""

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

from e2.batch import Batch
from e2.checkpoint import LAST, save_config
from e2.config import TrainConfig
from e2.counting import counted
from e2.data.loader import training_loader
from e2.data.lost import LostPhoto
from e2.data.mixture import Mixture, portions_of
from e2.data.product import Catalogue
from e2.data.shards_ahead import ForeseeingSampler
from e2.distributed import any_of, on_main
from e2.errors import TrainingStopped
from e2.settings import to_dict
from e2.training.compiling import uncompiled
from e2.training.keep import evaluate, keep_step, keep_weights, out_of_patience, save
from e2.training.prepare import Run, prepare
from e2.training.runlog import RunLog
from e2.training.state import Progress, begin, load_state, named, read_state
from e2.training.step import read, take_step
from e2.training.stopping import stop_signals
from e2.training.trackers import start_trackers
from e2.training.use_cache import use_cache
from e2.training.validation import FirstPhotos

FEW = 50  # products to validate on; with fewer, one product moves R@1 by more than 2 points


def train(
    config: TrainConfig,
    train_data: Catalogue,
    val_data: Catalogue,
    out: Path,
    *,
    second: Catalogue | None = None,
    resume: bool = False,
) -> Progress:
    """Trains a model; leaves the best and last weights in ``out``, and the state, which the caller removes.

    ``val_data`` choose the checkpoint, ``second`` are only measured. ``resume`` continues from ``out/training``, with the
    configuration stored there.

    Raises:
        TrainingStopped: a loss, gradient or feature that is not finite, or a stop by Ctrl-C or SIGTERM; the state is saved.
    """
    run = prepare(config, train_data, val_data, out)
    if second is not None:
        run.second = FirstPhotos(second, run.val.transform, config.data.measured_text)
    if config.data.cache is not None:
        with uncompiled(config):
            use_cache(run, Path(config.data.cache))
    if resume:
        folder, run.progress, _ = read_state(out)
        load_state(folder, run.method, run.optimizer, run.average)
        if run.progress.scaler:
            run.accelerator.scaler.load_state_dict(run.progress.scaler)
    else:
        on_main(lambda: begin(out, named(train_data, val_data)))
    if run.accelerator.is_main_process:
        save_config(
            out,
            model=run.model,
            backbone=config.backbone,
            method=config.method,
            training=to_dict(config),
            tokenizer=run.tokenizer,
            start_sha256=run.start_sha256,
        )
    fit(run)
    keep_weights(run, LAST)
    return run.progress


def fit(run: Run) -> None:
    """Runs the loop: batch, step, log, evaluate, save."""
    config, accelerator, progress = run.config, run.accelerator, run.progress
    if progress.step >= run.steps or out_of_patience(run):
        return
    with RunLog(run.out, accelerator, run.steps, progress.step) as log, stop_signals() as noticed:
        introduce(run, log)
        start_trackers(accelerator, config, run.out, progress.step, log.say)
        for batch in batches(run):
            take_step(run, batch)
            due = log.count(progress.step, run.batch_size)
            evaluates = progress.step % run.eval_every == 0 or progress.step == run.steps
            saves = progress.step % run.save_every == 0
            stopped = stop_asked(run, noticed(), due or evaluates or saves)
            found = read(run) if due or evaluates or saves or stopped else None
            if due and found:
                log.step(found, run.optimizer, run.model, run.waited)
                run.waited = 0.0
            if evaluates:
                evaluate(run, log)
            keep_step(run)
            if stopped or saves:
                save(run)
            if stopped:
                raise TrainingStopped(f"stopped at step {progress.step} of {run.steps}", f"--resume --out {run.out}")
            if out_of_patience(run):
                log.say(f"no better SumR in {config.patience} evaluations: stopping early at step {progress.step}")
                break


def stop_asked(run: Run, noticed: bool, meets: bool) -> bool:
    """True if a stop was asked for; several processes agree on it only at steps at which they wait anyway (``meets``)."""
    return any_of(noticed, run.accelerator.device) if meets else noticed and run.accelerator.num_processes == 1


def introduce(run: Run, log: RunLog) -> None:
    """Reports what is trained on what, and warns if there are too few products to choose a checkpoint."""
    validate = len(run.val)
    millions = sum(parameter.numel() for parameter in run.model.parameters()) / 1e6
    length = f"{counted(run.steps, 'step')} of {run.batch_size}"
    log.say(f"{counted(len(run.views), 'product')} to train on, {validate:,} to validate; {length}")
    if isinstance(mixture := run.views.catalogue, Mixture):
        for catalogue, portion in zip(mixture.catalogues, mixture.portions, strict=True):
            log.say(f"  {catalogue.name}: {counted(portion.size, 'product')}, {portion.shown:,} shown an epoch")
    often = "step" if run.eval_every == 1 else counted(run.eval_every, "step")
    log.say(f"{millions:.1f} million parameters; validation every {often}")
    if validate < FEW:
        few = f"{counted(validate, 'product')} to validate by"
        log.say(f"{few}: too few to tell checkpoints apart (take {FEW} or more); {LAST} will hold the last weights")


def batches(run: Run) -> Iterator[Batch]:
    """Yields the run's remaining batches, ready for a step."""
    accelerator, data = run.accelerator, run.config.data
    sampler = ForeseeingSampler(
        portions_of(run.views.catalogue, data.replacement),
        data.batch_size,
        start=run.progress.step,
        stop=run.steps,
        seed=run.config.seed,
        rank=accelerator.process_index,
        world=accelerator.num_processes,
    )
    pin = accelerator.device.type == "cuda"
    plan = run.method.planner(data.chunk_size)
    loader = training_loader(run.views, sampler, run.tokenizer, workers=data.workers, pin_memory=pin, plan=plan)
    asked = time.monotonic()
    with stopped_by_lost_photo(run):
        for batch in loader:
            run.waited += time.monotonic() - asked
            yield ready(run, batch)
            asked = time.monotonic()


def ready(run: Run, batch: Batch) -> Batch:
    """Moves a batch to the device; photos to be encoded in chunks stay on the CPU."""
    return batch.to(run.accelerator.device, photos=run.config.data.chunk_size is None)


@contextlib.contextmanager
def stopped_by_lost_photo(run: Run) -> Iterator[None]:
    """Ends a run cleanly when a photo that was readable at its start no longer is."""
    try:
        yield
    except LostPhoto as lost:
        if run.accelerator.num_processes == 1:  # others would wait for a process that saves
            save(run)
        raise TrainingStopped(
            f"stopped at step {run.progress.step}: {lost}; restore it and continue with --resume --out {run.out}; with "
            "--on-bad-row skip, chosen at the start, another photo replaces such a one"
        ) from lost

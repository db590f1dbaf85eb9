"""Training: one loop for every method, resumable bit for bit.

``OUT/`` is a checkpoint folder of the best weights so far (by validation SumR; ties go to the latest) and, in the end, the
last ones, ``last.safetensors``; ``OUT/training/`` holds the state to resume from until the run is finished; ``OUT/log.csv``
and ``OUT/tensorboard/`` hold the curves.
"""

import contextlib
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import DistributedType
from torch import Tensor
from torch.distributed.fsdp import FSDPModule
from torch.nn.utils import clip_grads_with_norm_, get_total_norm

from e2.attention import chunked_attention
from e2.batch import Batch
from e2.checkpoint import LAST, WEIGHTS, metadata_of, save_config, tensors_sha256, weights_of, write_weights
from e2.config import TrainConfig, to_dict
from e2.data.loader import DESCRIPTION, StepSampler, TrainingViews, mixed_seed, training_loader
from e2.data.lost import LostPhoto
from e2.data.product import Catalogue
from e2.distributed import any_of, average_gradients, gather_step, on_main, own_rows
from e2.errors import InputError, TrainingStopped
from e2.factory import get_tokenizer
from e2.finite import NotFinite, broken_gradients
from e2.frozen_texts import FrozenTexts, text_tower_is_frozen
from e2.methods import Method, method_class
from e2.texts import cut_to_longest
from e2.training.fill_cache import CacheFiller
from e2.training.fill_texts import fill_texts, texts_of
from e2.training.grad_cache import CachedFeatures
from e2.training.optim import make_optimizer, set_rates
from e2.training.runlog import RunLog
from e2.training.sharding import BLOCKS, scale_down, shard, sharded_norm
from e2.training.start import start_model
from e2.training.state import Progress, begin, load_state, read_state, save_state, state_tensors
from e2.training.stopping import stop_signals
from e2.training.tower_cache import open_cache
from e2.training.validation import FirstPhotos, validate

FEW = 50  # products to validate on; with fewer, one product moves R@1 by more than 2 points


@dataclass
class Run:
    """State of one training run."""

    config: TrainConfig
    out: Path
    accelerator: Accelerator
    method: Method
    optimizer: torch.optim.Optimizer
    views: TrainingViews
    val: FirstPhotos
    tokenizer: Callable
    steps: int
    steps_per_epoch: int
    progress: Progress
    start_sha256: str | None  # hash of the pre-trained backbone; None = random weights
    waited: float = 0.0  # seconds spent waiting for data since the last log row

    @property
    def model(self):
        return self.method.model

    @property
    def batch_size(self) -> int:
        """Products per step, over all processes."""
        return min(self.config.data.batch_size, len(self.views))

    @property
    def sharded(self) -> bool:
        """True if the weights are sharded over the processes (FSDP)."""
        return isinstance(self.method, FSDPModule)

    @property
    def eval_every(self) -> int:
        return self.config.eval_every or self.steps_per_epoch

    @property
    def save_every(self) -> int:
        return self.config.save_every or self.eval_every


def train(config: TrainConfig, train_data: Catalogue, val_data: Catalogue, out: Path, *, resume: bool = False) -> Progress:
    """Trains a model; leaves the best and last weights in ``out``, and the state, which the caller removes.

    ``val_data`` choose the checkpoint. ``resume`` continues from ``out/training``, with the configuration stored there.

    Raises:
        TrainingStopped: a loss, gradient or feature that is not finite, or a stop by Ctrl-C or SIGTERM; the state is saved.
    """
    run = prepare(config, train_data, val_data, out)
    if config.data.cache is not None:
        use_cache(run, Path(config.data.cache))
    if resume:
        folder, run.progress, _ = read_state(out)
        load_state(folder, run.method, run.optimizer)
        if run.progress.scaler:
            run.accelerator.scaler.load_state_dict(run.progress.scaler)
    else:
        on_main(lambda: begin(out, {"train": train_data, "val": val_data}))
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


def prepare(config: TrainConfig, train_data: Catalogue, val_data: Catalogue, out: Path) -> Run:
    """Builds model, optimizer and data of a run, from the seed alone."""
    check_data(config, train_data)
    kind = method_class(config.method)
    accelerator = make_accelerator(config)
    if min(config.data.batch_size, len(train_data)) < accelerator.num_processes:
        raise InputError(f"{accelerator.num_processes} processes need at least as many products a batch; raise --batch-size")
    model, transform, val_transform = start_model(config)
    start_sha256 = tensors_sha256(model.clip.state_dict()) if model.clip.origin.pretrained else None
    method = kind(model, config.loss, config.data.tags)
    spread(accelerator, method.to(accelerator.device))
    model.logit_scale.requires_grad_(config.loss.temperature is None)
    optimizer = make_optimizer(model, config.optim, model.clip.origin.pretrained, method.own_parameters())
    tags = config.data.tags if kind.uses_tags else ()
    views = TrainingViews(
        train_data,
        transform,
        tags,
        text=config.data.text,
        prompt=config.loss.region_prompt,
        seed=config.seed,
        on_bad_row=config.data.on_bad_row,
        views=config.data.fixed_views,
    )
    steps_per_epoch = StepSampler(len(views), config.data.batch_size, start=0, stop=0, seed=0).steps_per_epoch
    return Run(
        config=config,
        out=out,
        accelerator=accelerator,
        method=method,
        optimizer=accelerator.prepare_optimizer(optimizer),
        views=views,
        val=FirstPhotos(val_data, val_transform, config.data.measured_text),
        tokenizer=get_tokenizer(config.backbone, config.pretrained),
        steps=config.steps or max(1, round((config.epochs or 10) * steps_per_epoch)),
        steps_per_epoch=steps_per_epoch,
        progress=Progress(),
        start_sha256=start_sha256,
    )


def use_cache(run: Run, root: Path) -> None:
    """Lets the frozen layers run once per photo: fills the cache, then trains and validates from it.

    Raises:
        InputError: nothing is frozen, sharded weights, or a cache that cannot be written.
        LostPhoto: a photo cannot be read and may not be left out.
    """
    if run.sharded:
        raise InputError("--cache: frozen layers run before the training, so they need no sharding; leave out FSDP or --cache")
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"--cache {root}: cannot be written ({error.strerror}); name another folder") from error
    front, texts = run.method.front(), text_tower_is_frozen(run.model.clip)
    if not (front.blocks or texts):
        raise InputError(
            "--cache keeps what frozen layers give, and here the first layers learn, or the tokens reach them: set "
            "optim.image_layers (0 = train none of the image tower), and leave model.attention and model.reader as they are"
        )
    for pictures, views in ((run.views, run.views.views or 1), (run.val, 1)) if front.blocks else ():
        cache = open_cache(root, run.model, front, pictures, views=views, precision=run.config.precision)
        CacheFiller(cache, pictures, run.model, front, run.config.data.workers, lambda: precision(run)).fill()
        pictures.cache = cache
    if texts:
        run.method.frozen_texts = FrozenTexts(run.model.clip)
        with precision(run):
            fill_texts(run.method.frozen_texts, root, texts_of(run.views), run.tokenizer, run.config.precision)


def make_accelerator(config: TrainConfig) -> Accelerator:
    """Sets up device, processes and precision of a run."""
    if config.device == "cuda" and not torch.cuda.is_available():
        raise InputError("--device cuda: PyTorch sees no GPU here; use --device cpu, or auto")
    on_cpu = config.device == "cpu" or not torch.cuda.is_available()
    if config.precision == "fp16" and on_cpu:
        raise InputError("--precision fp16 needs a GPU; on the CPU use bf16 or fp32")
    AcceleratorState._reset_state()  # accelerate keeps the last run's precision for the whole process
    return Accelerator(mixed_precision="no" if config.precision == "fp32" else config.precision, cpu=on_cpu)


def spread(accelerator: Accelerator, method: Method) -> None:
    """Shards the weights if accelerate's configuration says FSDP; otherwise every process keeps them whole.

    Whole weights need no wrapper: ``e2.distributed`` averages the gradients.
    """
    kind = accelerator.distributed_type
    if kind == DistributedType.FSDP:
        blocks = accelerator.state.fsdp_plugin.transformer_cls_names_to_wrap or BLOCKS
        shard(method, accelerator.device, accelerator.num_processes, blocks)
    elif kind not in (DistributedType.NO, DistributedType.MULTI_CPU, DistributedType.MULTI_GPU):
        raise InputError(f"accelerate's {kind.value} is not supported; configure several processes, or FSDP")


def check_data(config: TrainConfig, train_data: Catalogue) -> None:
    """Refuses data that cannot be trained on."""
    if len(train_data) < 2:
        raise InputError(f"{train_data.name}: contrastive training needs at least 2 products, the split has {len(train_data)}")
    if config.data.batch_size < 2:
        raise InputError(f"--batch-size {config.data.batch_size}: contrastive training needs at least 2 products a batch")
    if method_class(config.method).needs_tags and not config.data.tags:
        raise InputError(f"method {config.method} needs tag entities: name them by --tags, e.g. --tags brand,season")
    if config.data.text == "mixed" and not config.data.tags:
        raise InputError("--text mixed makes short texts of tags: name the entities by --tags, e.g. --tags brand,season")
    if method_class(config.method).needs_tags and not any_tag(train_data, config.data.tags):
        tags = ", ".join(config.data.tags)
        raise InputError(f"{train_data.name}: no product has a value for any of the tags {tags}; name others by --tags")


def any_tag(products: Catalogue, entities: Sequence[str]) -> bool:
    """True if some product has a tag; stops at the first."""
    return DESCRIPTION in entities or any(products[i].tags.keys() & set(entities) for i in range(len(products)))


def fit(run: Run) -> None:
    """Runs the loop: batch, step, log, evaluate, save."""
    config, accelerator, progress = run.config, run.accelerator, run.progress
    if progress.step >= run.steps or out_of_patience(run):
        return
    with RunLog(run.out, run.steps, progress.step, show=accelerator.is_main_process) as log, stop_signals() as noticed:
        introduce(run, log)
        for batch in batches(run):
            losses, norm = take_step(run, batch)
            if log.step(progress.step, losses, norm, run.optimizer, run.batch_size, run.model, run.waited):
                run.waited = 0.0
            if progress.step % run.eval_every == 0 or progress.step == run.steps:
                evaluate(run, log)
            stopped = any_of(noticed(), accelerator.device)
            if stopped or progress.step % run.save_every == 0:
                save(run)
            if stopped:
                raise TrainingStopped(f"stopped at step {progress.step} of {run.steps}", f"--resume --out {run.out}")
            if out_of_patience(run):
                log.say(f"no better SumR in {config.patience} evaluations: stopping early at step {progress.step}")
                break


def introduce(run: Run, log: RunLog) -> None:
    """Reports what is trained on what, and warns if there are too few products to choose a checkpoint."""
    config, validate = run.config, len(run.val)
    millions = sum(parameter.numel() for parameter in run.model.parameters()) / 1e6
    log.say(f"{config.method} of {config.backbone} ({millions:.1f} million parameters) on {run.accelerator.device.type}")
    log.say(f"{len(run.views):,} products to train on, {validate:,} to validate; {run.steps:,} steps of {run.batch_size}")
    if validate < FEW:
        few = f"{validate} product{'' if validate == 1 else 's'} to validate by"
        log.say(f"{few}: too few to tell checkpoints apart (take {FEW} or more); {LAST} will hold the last weights")


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
    return losses, norm


def out_of_patience(run: Run) -> bool:
    patience = run.config.patience
    return patience is not None and run.progress.evaluations_without_best >= patience


def batches(run: Run) -> Iterator[Batch]:
    """Yields the run's remaining batches, ready for a step."""
    accelerator, data = run.accelerator, run.config.data
    sampler = StepSampler(
        len(run.views),
        data.batch_size,
        start=run.progress.step,
        stop=run.steps,
        seed=run.config.seed,
        rank=accelerator.process_index,
        world=accelerator.num_processes,
    )
    pin = accelerator.device.type == "cuda"
    loader = training_loader(run.views, sampler, run.tokenizer, workers=data.workers, pin_memory=pin)
    asked = time.monotonic()
    with stopped_by_lost_photo(run):
        for batch in loader:
            run.waited += time.monotonic() - asked
            yield ready(run, batch)
            asked = time.monotonic()


def ready(run: Run, batch: Batch) -> Batch:
    """Moves a batch to the device and trims its texts; photos to be encoded in chunks stay on the CPU."""
    batch.tokens = cut_to_longest(run.model.clip, batch.tokens)
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


def evaluate(run: Run, log: RunLog) -> None:
    """Validates and keeps the weights if none were better; ties go to the latest, trained longest.

    Raises:
        TrainingStopped: the model's features are not finite.
    """
    progress = run.progress
    try:
        with run.accelerator.autocast(), gathered_weights(run):
            metrics = validate(
                run.model,
                run.val,
                run.tokenizer,
                batch_size=2 * run.config.data.batch_size,
                workers=run.config.data.workers,
                device=run.accelerator.device,
            )
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


def keep_weights(run: Run, name: str) -> None:
    """Writes the current weights to a file of the checkpoint folder, with the step and its validation."""
    weights, last = weights_of(run.model), run.progress.history[-1]
    if run.accelerator.is_main_process:
        said = {"step": str(last["step"]), "val_SumR": f"{last['SumR']:.4f}"}
        write_weights(weights, run.out / name, {**metadata_of(run.model), **said})


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
    tensors = state_tensors(run.method, run.optimizer)
    if run.accelerator.is_main_process:
        save_state(run.out, tensors, run.progress, to_dict(run.config))
    run.accelerator.wait_for_everyone()

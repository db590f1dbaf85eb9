"""Prepares a training run: device, processes, model, optimizer and data, all from the settings and the seed."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.optimizer import AcceleratedOptimizer
from accelerate.state import AcceleratorState
from accelerate.utils import DistributedType, ProjectConfiguration
from torch.distributed.fsdp import FSDPModule

from e2.checkpoint import tensors_sha256
from e2.config import EPOCHS, TrainConfig
from e2.data.decoders import NVJPEG
from e2.data.device_views import DeviceTransform
from e2.data.loader import DESCRIPTION, StepSampler, TrainingViews
from e2.data.mixture import portions_of
from e2.data.product import Catalogue
from e2.devices import advise_on
from e2.errors import InputError
from e2.factory import get_tokenizer
from e2.losses import OwnRows
from e2.methods import Method, method_class
from e2.training.average import WeightAverage
from e2.training.bf16_weights import round_weights
from e2.training.compiling import compile_blocks
from e2.training.optim import freeze_towers, make_optimizer
from e2.training.patch_dropout import require_patches
from e2.training.sharding import BLOCKS, shard
from e2.training.start import start_model
from e2.training.state import Progress
from e2.training.trackers import BOARD, installed
from e2.training.validation import FirstPhotos
from e2.training.watch import StepWatch


@dataclass
class Run:
    """State of one training run."""

    config: TrainConfig
    out: Path
    accelerator: Accelerator
    method: Method
    optimizer: AcceleratedOptimizer
    views: TrainingViews
    val: FirstPhotos
    tokenizer: Callable
    steps: int
    batch_size: int  # products per step, over all processes
    steps_per_epoch: int
    progress: Progress
    start_sha256: str | None  # hash of the pre-trained backbone; None = random weights
    watch: StepWatch
    average: WeightAverage | None  # of the weights, if it is what is validated and saved
    second: FirstPhotos | None = None  # of another catalogue, measured beside ``val``
    waited: float = 0.0  # seconds spent waiting for data since the last log row

    @property
    def model(self):
        return self.method.model

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


def prepare(config: TrainConfig, train_data: Catalogue, val_data: Catalogue, out: Path) -> Run:
    """Builds model, optimizer and data of a run, from the seed alone."""
    check_data(config, train_data)
    kind = method_class(config.method)
    accelerator = make_accelerator(config, out)
    portions = portions_of(train_data, config.data.replacement)
    sampler = StepSampler(portions, config.data.batch_size, start=0, stop=0, seed=config.seed)
    if sampler.batch_size < accelerator.num_processes:
        raise InputError(f"{accelerator.num_processes} processes need at least as many products a batch; raise --batch-size")
    model, transform, val_transform = start_model(config)
    if config.data.decoder == NVJPEG:
        transform = DeviceTransform(transform, accelerator.device)
    start_sha256 = tensors_sha256(model.clip.state_dict()) if model.clip.origin.pretrained else None
    if config.optim.patch_dropout:
        require_patches(model)
    method = kind(model, config.loss, config.data.tags)
    torch.backends.cuda.matmul.allow_tf32 = config.tf32
    if config.checkpointing:
        model.set_grad_checkpointing()
    freeze_towers(model, config.optim)
    if config.channels_last:
        method.to(memory_format=torch.channels_last)
    spread(accelerator, method.to(accelerator.device))
    if config.compile:
        compile_blocks(model, sharded=isinstance(method, FSDPModule))
    if config.optim.bf16_weights:
        if isinstance(method, FSDPModule):
            raise InputError(
                "optim.bf16_weights does not go with FSDP, which shards the weights in fp32; leave one of them out"
            )
        round_weights(model)
    method.part = OwnRows(accelerator.process_index, accelerator.num_processes)
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
    return Run(
        config=config,
        out=out,
        accelerator=accelerator,
        method=method,
        optimizer=accelerator.prepare_optimizer(optimizer),
        views=views,
        val=FirstPhotos(val_data, val_transform, config.data.measured_text),
        tokenizer=get_tokenizer(config.backbone, config.pretrained),
        steps=config.steps or max(1, round((config.epochs or EPOCHS) * sampler.steps_per_epoch)),
        batch_size=sampler.batch_size,
        steps_per_epoch=sampler.steps_per_epoch,
        progress=Progress(),
        start_sha256=start_sha256,
        watch=StepWatch(accelerator.device, may_skip=accelerator.scaler is not None),
        average=None if config.optim.ema is None else WeightAverage(method, config.optim.ema),
    )


def make_accelerator(config: TrainConfig, out: Path) -> Accelerator:
    """Sets up device, processes, precision and trackers of a run."""
    if config.device == "cuda" and not torch.cuda.is_available():
        raise InputError("--device cuda: PyTorch sees no GPU here; use --device cpu, or auto")
    on_cpu = config.device == "cpu" or not torch.cuda.is_available()
    if config.precision == "fp16" and on_cpu:
        raise InputError("--precision fp16 needs a GPU; on the CPU use bf16 or fp32")
    AcceleratorState._reset_state()  # accelerate keeps the last run's precision for the whole process
    accelerator = Accelerator(
        mixed_precision="no" if config.precision == "fp32" else config.precision,
        cpu=on_cpu,
        log_with=installed(config),
        project_config=ProjectConfiguration(logging_dir=str(out / BOARD)),
    )
    advise_on(config.precision, accelerator.device)
    return accelerator


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

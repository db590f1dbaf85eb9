"""AdamW groups and the learning-rate schedule, both functions of the configuration and the step alone."""

import math
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from open_clip.timm_model import TimmModel
from torch import nn
from torch.distributed.tensor import DTensor, distribute_tensor

from e2.config import OptimConfig
from e2.locking import BLOCK
from e2.model import E2
from e2.training.bf16_weights import MasterAdamW
from e2.training.lora import add_low_rank, low_rank_parameters

STEM = re.compile(r"conv1|patch_embed|embedding|cls_token|class_token|reg_token|pos_embed|ln_pre|norm_pre")
LR_SCRATCH, NEW_LR_FACTOR_SCRATCH, LR_PRETRAINED, NEW_LR_PRETRAINED = 1e-3, 2, 2e-5, 5e-4


def peak_rates(config: OptimConfig, pretrained: bool) -> dict[str, float]:
    """Peak learning rate of the backbone (``old``) and of E2's additions (``new``)."""
    old = config.lr if config.lr is not None else (LR_PRETRAINED if pretrained else LR_SCRATCH)
    new = config.new_lr
    if new is None:
        new = NEW_LR_PRETRAINED if pretrained else NEW_LR_FACTOR_SCRATCH * old
    return {"old": old, "new": new}


def undecayed(model: E2) -> set[int]:
    """Ids of the parameters without weight decay: vectors, scalars, embeddings, selection tokens and gates."""
    names = set(model.clip.no_weight_decay())
    if isinstance(model.visual, TimmModel):  # open_clip does not ask timm's towers
        own: set[str] = getattr(model.visual.trunk, "no_weight_decay", set)()
        names |= {f"visual.trunk.{name}" for name in (*own, "attn_pool.latent")}
    return {
        id(p)
        for name, p in model.named_parameters()
        if p.ndim < 2 or name in names or "embedding" in name or name.startswith(("reader.tokens", "reader.gates"))
    }


def heights(model: E2) -> dict[int, int]:
    """Blocks of its tower above each parameter of the backbone, by the parameter's id; the head has none above it."""
    towers: dict[bool, dict[int, int]] = {True: {}, False: {}}
    for name, p in model.clip.named_parameters():
        block = BLOCK.search(name)
        level = int(block[1]) + 1 if block else 0 if STEM.search(name) else -1
        towers[name.startswith("visual.")][id(p)] = level
    found: dict[int, int] = {}
    for levels in towers.values():
        top = max(levels.values(), default=0) + 1
        found |= {key: 0 if level < 0 else top - level for key, level in levels.items()}
    return found


def make_optimizer(
    model: E2, config: OptimConfig, pretrained: bool, further: Iterable[nn.Parameter] = ()
) -> torch.optim.AdamW:
    """Makes AdamW with a few groups: old and new parameters, with and without weight decay, by layer if rates differ.

    The rate of old ones falls by ``layer_decay`` with each block (BEiT, Bao et al., 2022, appendix). Frozen parameters are
    left out. The method's own, ``further``, count as new, and so do low-rank changes and those of the backbone that its
    weights lack.
    """
    further = list(further)
    flat = undecayed(model) | {id(p) for p in further if p.ndim < 2}
    new = {id(p) for p in (*model.new_parameters(), *model.fresh_parameters(), *low_rank_parameters(model), *further)}
    rates, above = peak_rates(config, pretrained), heights(model)
    groups: dict[tuple[int, str, bool, bool], list[nn.Parameter]] = {}  # scalars apart: they are not sharded like the others
    for p in (*model.parameters(), *further):
        if p.requires_grad:
            age = "new" if id(p) in new else "old"
            height = above.get(id(p), 0) if age == "old" and config.layer_decay < 1 else 0
            groups.setdefault((height, age, id(p) not in flat, p.ndim > 0), []).append(p)
    return MasterAdamW(
        [
            {
                "params": params,
                "peak_lr": rates[age] * config.layer_decay**height,
                "age": age,
                "weight_decay": config.weight_decay * decayed,
            }
            for (height, age, decayed, _), params in sorted(groups.items(), key=lambda group: group[0][0])
        ],
        lr=0.0,
        betas=config.betas,
        eps=1e-6,
        fused=True,
    )


def decay_groups(parameters: Iterable[nn.Parameter], weight_decay: float) -> list[dict[str, Any]]:
    """Parameter groups of a small network: matrices decay, vectors (biases, norms) do not."""
    listed = list(parameters)
    return [
        {"params": [p for p in listed if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in listed if p.ndim < 2], "weight_decay": 0.0},
    ]


def freeze_towers(model: E2, config: OptimConfig) -> None:
    """Freezes all but the last layer groups of a tower, by open_clip's own locking, or all of one that low-rank changes are
    added to; what is fresh stays free.
    """
    if config.image_layers is not None or config.image_lora is not None:
        model.lock_image_tower(config.image_layers or 0)
    if config.text_layers is not None or config.text_lora is not None:
        model.lock_text_tower(config.text_layers or 0)
    for image, rank in ((True, config.image_lora), (False, config.text_lora)):
        if rank is not None:
            add_low_rank(model, image, rank)


SHAPES: dict[str, Callable[[float], float]] = {  # share of the way from the peak, over the part of the run in which it falls
    "cosine": lambda done: (1 + math.cos(math.pi * done)) / 2,
    "linear": lambda done: 1 - done,
    "cooldown": lambda done: 1 - done,
    "constant": lambda done: 1.0,
}


def rate_factor(
    step: int, steps: int, warmup: float, final: float = 0.0, schedule: str = "cosine", cooldown: float = 0.0
) -> float:
    """Share of the peak rate at a step (0-based): linear up for a share of the steps, then the schedule down to ``final``.

    ``cooldown`` is constant but for its share of the steps at the end (Hägele et al., NeurIPS 2024): a run can be lengthened
    from a checkpoint before its fall.
    """
    rising = max(1, round(warmup * steps))
    if step < rising:
        return (step + 1) / rising
    falls = max(rising, steps - round(cooldown * steps)) if schedule == "cooldown" else rising
    done = max(0, step - falls) / max(1, steps - falls)
    return final + (1 - final) * SHAPES[schedule](done)


def set_rates(optimizer: torch.optim.Optimizer, step: int, steps: int, config: OptimConfig) -> None:
    """Sets each group's learning rate for a step; in the first stage only the new parameters move."""
    first_stage = step < round(config.new_only * steps)
    factor = rate_factor(step, steps, config.warmup, config.final_lr, config.schedule, config.cooldown)
    for group in optimizer.param_groups:
        group["lr"] = 0.0 if first_stage and group["age"] == "old" else group["peak_lr"] * factor


def named_state(optimizer: torch.optim.Optimizer, model: nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    """Yields the optimizer's tensors as (``parameter/field``, tensor), sharded ones as they are."""
    for name, p in model.named_parameters():
        for field, tensor in optimizer.state.get(p, {}).items():
            yield f"{name}/{field}", tensor


def load_named_state(optimizer: torch.optim.Optimizer, model: nn.Module, tensors: dict[str, torch.Tensor]) -> None:
    """Restores the result of :func:`named_state`."""
    parameters = dict(model.named_parameters())
    for key, tensor in tensors.items():
        name, field = key.rsplit("/", 1)
        p = parameters[name]
        # AdamW's fused step keeps its counters in float32 beside the parameter; so do we.
        tensor = tensor.to(p.device)
        if isinstance(p, DTensor) and tensor.shape == p.shape:
            tensor = distribute_tensor(tensor, p.device_mesh, p.placements)
        elif tensor.shape == p.shape:  # the fused step goes through memory as it lies
            tensor = torch.empty_like(p, dtype=tensor.dtype, requires_grad=False).copy_(tensor)
        optimizer.state[p][field] = tensor

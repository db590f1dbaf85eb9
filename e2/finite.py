"""Checks for NaN and infinity: every comparison with NaN is false, so it would silently rank first or last."""

import math
from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor, nn

from e2.distributed import own_shard
from e2.errors import InputError, TrainingStopped


class NotFinite(InputError):
    """NaN or infinity where numbers are needed; ``found`` says how many of what."""

    def __init__(self, found: str):
        super().__init__(f"{found}; check the weights and --precision")
        self.found = found


def require_finite(values: Tensor | np.ndarray, what: str) -> None:
    """Refuses values (N, ...) that are not all finite; ``what`` is their name in the message, e.g. "image features".

    Raises:
        NotFinite: with the number of affected rows.
    """
    rows = torch.as_tensor(values).detach()
    if rows.is_floating_point() and not rows.isfinite().all():
        broken = int((~rows.isfinite()).reshape(len(rows), -1).any(dim=1).sum())
        raise NotFinite(f"{broken} of {len(rows)} {what} are not finite")


def require_finite_loss(value: float, what: str) -> None:
    """Stops training at a loss that is not finite; ``what`` names the loss and its step.

    Raises:
        TrainingStopped: the loss is NaN or infinite.
    """
    if not math.isfinite(value):
        raise TrainingStopped(f"{what} is {value}; lower lr or use precision fp32")


def clip_finite_gradient(module: nn.Module, limit: float, step: int) -> None:
    """Clips the gradient of all parameters together to a norm.

    Raises:
        TrainingStopped: it is not finite.
    """
    if not nn.utils.clip_grad_norm_(module.parameters(), limit).isfinite():
        broken = broken_gradients(module.named_parameters())
        raise TrainingStopped(f"the gradient is not finite at step {step}: {broken}; lower lr or use precision fp32")


def broken_gradients(parameters: Iterable[tuple[str, nn.Parameter]]) -> str:
    """Names the first parameter whose gradient is not finite, and says how many more there are.

    With FSDP, only this process's shards are checked.
    """
    found = []
    for name, p in parameters:
        gradient = None if p.grad is None else own_shard(p.grad)
        if gradient is not None and not gradient.isfinite().all():
            found.append(name)
    return f"{found[0]}{f' and {len(found) - 1} more' if found[1:] else ''}" if found else "the whole"

"""Averages the weights of a run's steps (EMA), which generalise better than the latest while the rate is high.

Polyak and Juditsky, 1992; for CLIP models by their trainers' ``--ema``.
"""

import contextlib
from collections.abc import Iterable, Iterator

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.optim.swa_utils import get_ema_multi_avg_fn

from e2.distributed import own_shard


class WeightAverage:
    """An exponential moving average of the weights that learn, kept beside them in float32; with FSDP sharded like them.

    The decay rises to its value as (1 + step) / (10 + step), so that a short run leaves its start behind, too.

    Args:
        module: its parameters that take gradients are averaged.
        decay: share of the average that a step keeps.
    """

    def __init__(self, module: nn.Module, decay: float):
        self.decay = decay
        self.learning = {name: p for name, p in module.named_parameters() if p.requires_grad}
        self.values: dict[str, Tensor] = {name: p.detach().to(torch.float32, copy=True) for name, p in self.learning.items()}

    def update(self, step: int) -> None:
        """Takes in the weights after a step (from 1)."""
        average = get_ema_multi_avg_fn(min(self.decay, (1 + step) / (10 + step)))
        weights = [weight.float() for weight in _local(self.learning.values())]
        average(_local(self.values.values()), weights, None)  # type: ignore[arg-type]

    @contextlib.contextmanager
    def in_place(self) -> Iterator[None]:
        """Puts the average in the place of the weights for a while."""
        weights = _local(self.learning.values())
        kept = [weight.clone() for weight in weights]
        torch._foreach_copy_(weights, _local(self.values.values()))
        try:
            yield
        finally:
            torch._foreach_copy_(weights, kept)

    def load(self, values: dict[str, Tensor]) -> None:
        """Restores whole values, as a state holds them.

        Raises:
            KeyError: one is missing.
        """
        for name, p in self.learning.items():
            value = values[name].to(p.device)
            if isinstance(p, DTensor):
                value = distribute_tensor(value, p.device_mesh, p.placements)
            self.values[name] = value


def _local(tensors: Iterable[Tensor]) -> list[Tensor]:
    return [own_shard(tensor.detach()) for tensor in tensors]

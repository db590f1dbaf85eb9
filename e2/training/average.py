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
    """An exponential moving average of the weights that learn, kept beside them; with FSDP sharded like them.

    The decay rises to its value as (1 + step) / (10 + step), so that a short run leaves its start behind, too.

    Args:
        module: its parameters that take gradients are averaged.
        decay: share of the average that a step keeps.
    """

    def __init__(self, module: nn.Module, decay: float):
        self.decay = decay
        self.learning = {name: p for name, p in module.named_parameters() if p.requires_grad}
        self.values: dict[str, Tensor] = {name: p.detach().clone() for name, p in self.learning.items()}

    def update(self, step: int) -> None:
        """Takes in the weights after a step (from 1)."""
        average = get_ema_multi_avg_fn(min(self.decay, (1 + step) / (10 + step)))
        average(_local(self.values.values()), _local(self.learning.values()), None)  # type: ignore[arg-type]

    @contextlib.contextmanager
    def in_place(self) -> Iterator[None]:
        """Puts the average in the place of the weights for a while."""
        self._exchange()
        try:
            yield
        finally:
            self._exchange()

    @torch.no_grad()
    def _exchange(self) -> None:
        for weight, value in zip(_local(self.learning.values()), _local(self.values.values()), strict=True):
            kept = weight.clone()
            weight.copy_(value)
            value.copy_(kept)

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

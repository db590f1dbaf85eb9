"""Weights in bfloat16, for half the memory of themselves and of their gradients, and an optimizer that loses nothing of them.

A step of 1/256 of a weight or less rounds to none in bfloat16. So the optimizer steps copies in float32 (Micikevicius et al.,
"Mixed Precision Training", ICLR 2018), and the weights are these, rounded, as autocast rounds float32 weights in each pass.
"""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from e2.model import E2
from e2.training.lora import low_rank_parameters

MASTER = "master"  # name of a copy in the optimizer's state


def round_weights(model: E2) -> None:
    """Rounds the backbone's matrices that learn to bfloat16; vectors, and what is new to the backbone, stay as they are."""
    others = {id(p) for p in (*low_rank_parameters(model), *model.fresh_parameters())}
    for p in model.clip.parameters():
        if p.requires_grad and p.ndim > 1 and id(p) not in others:
            p.data = p.data.bfloat16()


class MasterAdamW(torch.optim.AdamW):
    """AdamW in float32 for weights in bfloat16, whose state holds a copy of each beside its moments, all float32.

    Until the first step the weights are their own copies.
    """

    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Steps the copies and rounds them to the weights; gradients in bfloat16 are used up."""
        rounded = list(self._rounded())
        for p, gradient in rounded:
            p.grad = None  # a gradient has the type of its weight
            copy = self.state[p].pop(MASTER, None)
            p.data, p.grad = p.data.float() if copy is None else copy, gradient.float()
        loss = super().step(closure)
        for p, _ in rounded:
            p.grad, self.state[p][MASTER], p.data = None, p.data, p.data.bfloat16()
        return loss

    def _rounded(self) -> Iterator[tuple[nn.Parameter, Tensor]]:
        for group in self.param_groups:
            yield from ((p, p.grad) for p in group["params"] if p.dtype == torch.bfloat16 and p.grad is not None)


def in_float32(weights: dict[str, Any]) -> dict[str, Tensor]:
    """Weights as a checkpoint holds them, for programs without bfloat16."""
    return {name: tensor.float() if tensor.dtype == torch.bfloat16 else tensor for name, tensor in weights.items()}

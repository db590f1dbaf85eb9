"""Low-rank changes of frozen towers (LoRA, Hu et al., ICLR 2022), merged into plain weights in every checkpoint.

A linear layer's output gets that of its change beside it. ``nn.MultiheadAttention`` takes its weights itself, so these are
changed, by PyTorch's parametrizations. (peft merges its change into such weights before each pass and subtracts it afterwards,
which leaves rounding errors in what should stay as it is; that of the output projection it merges twice, as of 0.21.)
"""

import math
import re
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrize import register_parametrization

from e2.locking import BLOCK
from e2.model import E2

# The matrix ``up`` in a state: of which module, and of which of its weights.
UP = re.compile(r"(.+)\.(?:low_rank|parametrizations\.(\w+)\.0)\.up")


class LowRank(nn.Module):
    """Change of a weight by the product of two narrow matrices; it starts at zero.

    Args:
        weight: (rows, columns), to be changed.
        rank: width of the two.
    """

    def __init__(self, weight: Tensor, rank: int):
        super().__init__()
        rows, columns = weight.shape
        self.down = nn.Parameter(weight.new_empty(rank, columns))
        self.up = nn.Parameter(weight.new_zeros(rows, rank))
        nn.init.kaiming_uniform_(self.down, a=math.sqrt(5))

    def forward(self, weight: Tensor) -> Tensor:
        """Returns the changed weight (rows, columns)."""
        with torch.autocast(weight.device.type, enabled=False):
            return torch.addmm(weight, self.up, self.down)

    def beside(self, layer: nn.Module, inputs: tuple[Tensor], output: Tensor) -> Tensor:
        """Returns the output (..., rows) of a linear layer with the changed weight: a forward hook."""
        return output + F.linear(F.linear(inputs[0], self.down), self.up)


def add_low_rank(model: E2, image: bool, rank: int) -> None:
    """Gives every matrix in the blocks of the image tower, or of the text tower, a change that learns."""
    for name, weight in list(model.clip.named_parameters()):
        if name.startswith("visual.") != image or not BLOCK.search(name) or weight.ndim != 2:
            continue
        owner, _, field = name.rpartition(".")
        layer, change = model.clip.get_submodule(owner), LowRank(weight, rank)
        if type(layer) is nn.Linear:  # not a subclass: attention never calls the one that it holds
            layer.add_module("low_rank", change)
            layer.register_forward_hook(change.beside)
        else:
            register_parametrization(layer, field, change)


def low_rank_parameters(model: E2) -> list[nn.Parameter]:
    """The parameters of all changes."""
    return [p for part in model.modules() if isinstance(part, LowRank) for p in part.parameters()]


def merged_weights(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights of a model with changes as those of a plain one, under its names."""
    plain = dict(weights)
    for up in filter(None, map(UP.fullmatch, weights)):
        owner, field = up[1], up[2] or "weight"
        weight = f"{owner}.parametrizations.{field}.original" if up[2] else f"{owner}.{field}"
        parts = (plain.pop(name) for name in (weight, up[0], f"{up[0].removesuffix('up')}down"))
        plain[f"{owner}.{field}"] = torch.addmm(*parts)
    return plain

"""Looks up rows of a table with gradients that are bitwise reproducible."""

from torch import Tensor
from torch.nn import functional as F


def lookup(table: Tensor, index: Tensor) -> Tensor:
    """Looks up rows of (U, ...) at integers (B...) -> (B..., ...), as ``table[index]``.

    On a CPU, threads sum the gradient of ``table[index]`` in any order, so rows used twice differ in their last bits between
    runs. An embedding's gradient uses one thread per row.
    """
    return F.embedding(index, table.flatten(1)).unflatten(-1, table.shape[1:])

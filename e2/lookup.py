"""Rows of a table by their numbers, with gradients that are the same bit for bit in every run."""

from torch import Tensor
from torch.nn import functional as F


def lookup(table: Tensor, index: Tensor) -> Tensor:
    """(U, ...) rows at integers (B...) -> (B..., ...), as ``table[index]``.

    On a CPU several threads add up the gradient of ``table[index]`` at once, in whatever order they come: a row that is named
    twice gets other last bits in every run. An embedding's gradient has one thread to a row.
    """
    return F.embedding(index, table.flatten(1)).unflatten(-1, table.shape[1:])

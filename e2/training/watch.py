"""Watches for losses and gradients that are not finite, without a wait for the device at each step."""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from e2.errors import TrainingStopped


class StepFindings(NamedTuple):
    """Values of a step, as numbers."""

    step: int
    losses: dict[str, float]
    norm: float  # of the gradient before clipping


class StepWatch:
    """Keeps what steps found on the device until it is read.

    ``broken`` turns 1 at the first step whose loss or gradient is not finite and stays so: AdamW's fused kernel, which knows
    it as ``found_inf``, then leaves weights and moments as they are, so that no such step ever reaches what is saved.

    Args:
        device: that of the steps.
        may_skip: the gradient alone may be infinite, as fp16's loss scaler leaves out such a step by itself.
    """

    def __init__(self, device: torch.device, may_skip: bool = False):
        self.broken = torch.zeros((), device=device)
        self.may_skip = may_skip
        self.latest: StepFindings | None = None  # of what has been read
        self.steps: list[tuple[int, list[str], Tensor, list[str], Tensor]] = []

    def note(self, step: int, losses: Mapping[str, Tensor], names: Sequence[str], norms: Tensor, norm: Tensor) -> None:
        """Takes in a step's losses and its gradient's norm, with those of each parameter (P,), named by ``names``."""
        values = torch.stack([*(value.detach().float() for value in losses.values()), norm.float()])
        decisive = values[:-1] if self.may_skip else values
        self.broken = torch.maximum(self.broken, (~decisive.isfinite().all()).float())
        self.steps.append((step, list(losses), values, list(names), norms))

    def read(self) -> StepFindings | None:
        """Waits for the device; returns what the last step found, None before the first.

        Raises:
            TrainingStopped: at the first step that was not finite, named with its losses or its parameters.
        """
        steps, self.steps = self.steps, []
        rows = _numbers([values for _, _, values, _, _ in steps])
        for (step, terms, _, names, norms), values in zip(steps, rows, strict=True):
            losses, norm = dict(zip(terms, values, strict=False)), values[-1]
            self.latest = StepFindings(step, losses, norm)
            if not all(map(math.isfinite, losses.values())):
                parts = ", ".join(f"{name} {value:.4g}" for name, value in losses.items())
                raise TrainingStopped(f"loss is not finite at step {step}: {parts}")
            if not (math.isfinite(norm) or self.may_skip):
                bad = [name for name, finite in zip(names, norms.isfinite().tolist(), strict=True) if not finite]
                more = f" and {len(bad) - 1} more" if bad[1:] else ""
                raise TrainingStopped(f"gradient is not finite at step {step}: {bad[0] + more if bad else 'the whole'}")
        return self.latest


def _numbers(rows: list[Tensor]) -> list[list[float]]:
    """All values in one copy from the device."""
    flat = torch.cat(rows).tolist() if rows else []
    numbers = iter(flat)
    return [[next(numbers) for _ in row] for row in rows]

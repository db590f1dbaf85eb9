"""Numbers that are none: every comparison with NaN is false, so it would rank first, or last, and nobody would see it."""

from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from e2.errors import InputError


class NotFinite(InputError):
    """NaN or infinity where numbers are needed; ``found`` says how many of what, the message also what to do."""

    def __init__(self, found: str):
        super().__init__(f"{found}; check the weights and --precision")
        self.found = found


def require_finite(values: Tensor | np.ndarray, what: str) -> None:
    """Refuses values that are not all finite.

    Args:
        values: (N, ...), a row for each photo, text or score.
        what: they are, for the message: "image features".

    Raises:
        NotFinite: with the number of rows that hold any such value.
    """
    rows = torch.as_tensor(values).detach()
    if rows.is_floating_point() and not rows.isfinite().all():
        broken = int((~rows.isfinite()).reshape(len(rows), -1).any(dim=1).sum())
        raise NotFinite(f"{broken} of {len(rows)} {what} are not finite")


def broken_gradients(parameters: Iterable[tuple[str, nn.Parameter]]) -> list[str]:
    """Names of the parameters whose gradient is not finite; of sharded ones (FSDP) this process sees its own shards."""
    found = []
    for name, p in parameters:
        gradient = p.grad.to_local() if isinstance(p.grad, DTensor) else p.grad
        if gradient is not None and not gradient.isfinite().all():
            found.append(name)
    return found

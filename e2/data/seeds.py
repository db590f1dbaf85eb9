"""Random numbers that follow from small numbers alone, whatever was drawn before."""

import contextlib
from collections.abc import Iterator

import numpy as np
import torch


def mixed_seed(*parts: int) -> int:
    """Mixes several small numbers into one 63-bit seed."""
    return int(np.random.SeedSequence(parts).generate_state(1, np.uint64)[0] >> np.uint64(1))


@contextlib.contextmanager
def drawing_from(seed: int) -> Iterator[None]:
    """Seeds the CPU's generator, which torchvision uses, and restores it afterwards.

    ``torch.manual_seed`` records its caller for each accelerator; per photo that took a fifth of the time.
    """
    state = torch.get_rng_state()
    torch.default_generator.manual_seed(seed)
    try:
        yield
    finally:
        torch.set_rng_state(state)

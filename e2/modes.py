"""Mode of a model, training or evaluation, for a while."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn


@contextmanager
def in_mode(model: nn.Module, *, training: bool) -> Iterator[None]:
    """Puts a model into a mode, and back into its own at the end, whatever happens."""
    before = model.training
    model.train(training)
    try:
        yield
    finally:
        model.train(before)

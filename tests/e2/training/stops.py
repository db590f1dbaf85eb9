"""A run that ends before a step, as if pulled out."""

import pytest

from e2.errors import TrainingStopped
from e2.training import train as loop


def pull_out(monkeypatch: pytest.MonkeyPatch, before: int) -> None:
    """Stops the next runs before the step after so many."""
    step = loop.take_step

    def broken(run, batch):
        if run.progress.step == before:
            raise TrainingStopped("pulled out")
        return step(run, batch)

    monkeypatch.setattr(loop, "take_step", broken)

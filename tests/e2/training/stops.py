"""Runs that end before a step, as if pulled out."""

from pathlib import Path

import pytest
from safetensors.torch import load_file
from torch import Tensor

from e2.checkpoint import LAST
from e2.errors import TrainingStopped
from e2.training import train as loop
from e2.training.run import start_run
from tests.command import run_command

LINE = "train --backbone test-tiny --batch-size 16 --steps 4 --device cpu --workers 0 --tags brand"


def last_weights(settings: str, data: Path, out: Path) -> dict[str, Tensor]:
    """Last weights of a short run through the command line."""
    answer = run_command(*LINE.split(), *settings.split(), "--data", data, "--out", out)
    assert answer.status == 0, answer
    return load_file(out / LAST)


def resumed_weights(settings: str, data: Path, out: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Tensor]:
    """Last weights of the same run, pulled out after its third step and resumed."""
    pull_out(monkeypatch, before=3)
    answer = run_command(*LINE.split(), *settings.split(), "--data", data, "--set", "save_every=2", "--out", out)
    assert answer.status == 1 and "pulled out" in answer.err
    monkeypatch.undo()
    start_run(out, {}, resume=True)
    return load_file(out / LAST)


def pull_out(monkeypatch: pytest.MonkeyPatch, before: int) -> None:
    """Stops the next runs before the step after so many."""
    step = loop.take_step

    def broken(run, batch):
        if run.progress.step == before:
            raise TrainingStopped("pulled out")
        return step(run, batch)

    monkeypatch.setattr(loop, "take_step", broken)

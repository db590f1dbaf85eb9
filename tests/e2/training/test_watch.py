"""Steps that are not finite change nothing, although nobody waits for the device; and how often a step waits."""

import dataclasses
import math

import pytest
import torch
from torch.profiler import ProfilerActivity, profile

from e2.errors import TrainingStopped
from e2.texts import encode_text
from e2.training.prepare import prepare
from e2.training.run import open_splits, resolve
from e2.training.step import read, take_step
from e2.training.train import batches
from e2.training.watch import StepWatch
from tests.conftest import TAGS


@pytest.fixture
def ready(shop, tiny, tmp_path):
    def make(**options):
        fixed = {"data.data": str(shop), "data.tags": ",".join(TAGS), "backbone": tiny, "data.workers": 0, "device": "cpu"}
        config = resolve({**fixed, "data.batch_size": 16, "steps": 20, "method": "clip", **options}, None, [])
        run = prepare(config, *open_splits(config), tmp_path / "run")
        return run, next(batches(run))

    return make


def contents(run):
    tensors = [*run.method.parameters(), *(t for state in run.optimizer.state.values() for t in state.values())]
    return [tensor.detach().clone() for tensor in tensors]


@pytest.mark.parametrize("where", ["loss", "gradient"])
def test_no_step_from_the_broken_one_on_changes_weights_or_moments(ready, monkeypatch, where):
    run, batch = ready()
    losses = type(run.method).losses
    edge = {"loss": lambda weight: weight.sum() * math.inf, "gradient": lambda weight: weight.sum().mul(0).sqrt()}[where]

    def broken_at_two(method, features, seen):
        found = losses(method, features, seen)
        extra = edge(method.model.clip.token_embedding.weight) if run.progress.step == 2 else 0.0
        return {**found, "global_loss": found["global_loss"] + extra}

    monkeypatch.setattr(type(run.method), "losses", broken_at_two)
    for _ in range(2):
        take_step(run, dataclasses.replace(batch))
    assert read(run).step == 1
    before = contents(run)
    for _ in range(3):
        take_step(run, dataclasses.replace(batch))
    assert all(torch.equal(*pair) for pair in zip(before, contents(run), strict=True))
    with pytest.raises(TrainingStopped, match=f"^{where} is not finite at step 2: "):
        read(run)


def test_findings_are_those_of_the_last_step_and_the_first_fault_counts():
    watch = StepWatch(torch.device("cpu"))
    for step in range(3):
        watch.note(step, {"a_loss": torch.tensor(1.0 + step)}, ["p"], torch.ones(1), torch.tensor(2.0))
    assert watch.read() == (2, {"a_loss": 3.0}, 2.0) == watch.read()
    for bad in (math.nan, math.inf):
        watch.note(3, {"a_loss": torch.tensor(1.0)}, ["p", "q"], torch.tensor([1.0, bad]), torch.tensor(bad))
    with pytest.raises(TrainingStopped, match="gradient is not finite at step 3: q$"):
        watch.read()
    assert watch.broken == 1


def test_a_step_reads_no_loss_norm_or_flag(ready, monkeypatch):
    """Operations whose result the host needs would wait for a GPU; the layout of texts still has some."""
    run, batch = ready(**{"optim.clip_norm": None})  # on the CPU, clipping by a tensor reads it for each parameter
    run.optimizer.step = lambda: None
    monkeypatch.setattr("e2.methods.base.encode_packed", encode_text)
    take_step(run, dataclasses.replace(batch))
    with profile(activities=[ProfilerActivity.CPU]) as profiled:
        take_step(run, dataclasses.replace(batch))
    waits = [event.name for event in profiled.events() if event.name in ("aten::_local_scalar_dense", "aten::nonzero")]
    assert len(waits) <= 1  # the bound of the logit scale, which lies on the CPU

"""Steps that are not finite change nothing, although nobody waits for the device; and how often a step waits."""

import dataclasses
import math

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from e2.errors import TrainingStopped
from e2.training.prepare import prepare
from e2.training.run import resolve
from e2.training.splits import open_splits
from e2.training.step import draw_noise, find_gradients, read, take_step
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


class Waits(TorchDispatchMode):
    """Notes operations whose result, or its size, the host needs: with a GPU it would wait for all work in front of them."""

    NAMES = ("_local_scalar_dense", "nonzero", "_unique2", "unique_dim", "masked_select", "equal", "lift_fresh")

    def __init__(self):
        super().__init__()
        self.found = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        name = function._schema.name.removeprefix("aten::")
        masks = name in ("index", "index_put", "index_put_") and any(i is not None and i.dtype == torch.bool for i in args[1])
        if masks or name in self.NAMES:
            self.found.append(name)
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize("chunk", [None, 5])
@pytest.mark.parametrize("method", ["clip", "multifield", "e2", "filip", "ei-clip", "e2 of SigLIP"])
def test_a_step_waits_for_no_device(ready, siglip, method, chunk):
    method, *sigmoid = method.split(" of ")
    options = {
        "data.chunk_size": chunk,
        "optim.patch_dropout": 0.5 if chunk else 0.0,
        **({"backbone": f"local-dir:{siglip}"} if sigmoid else {}),
    }
    run, batch = ready(method=method, **options)
    take_step(run, dataclasses.replace(batch))
    with Waits() as waits:
        take_step(run, dataclasses.replace(batch))
    assert waits.found == []


@pytest.mark.parametrize("method", ["e2", "ei-clip"])
def test_what_the_loader_finds_changes_no_gradient(ready, method):
    run, batch = ready(method=method, **{"data.chunk_size": 5})
    unplanned, found = dataclasses.replace(batch, layouts=None, targets=None), []
    assert len(batch.layouts) == -(-len(batch.tokens) // 5) and batch.targets is not None
    for each in (batch, unplanned):
        run.method.zero_grad()
        draw_noise(run, each)
        find_gradients(run, each)
        found.append({name: p.grad.clone() for name, p in run.method.named_parameters() if p.grad is not None})
    assert all(torch.equal(gradient, found[1][name]) for name, gradient in found[0].items())

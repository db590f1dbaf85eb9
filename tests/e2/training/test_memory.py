"""Settings that trade time for memory, or numbers for time, leave the gradients what they are."""

import dataclasses

import pytest
import torch
from torch.testing import assert_close

from e2.training.prepare import prepare
from e2.training.run import resolve
from e2.training.splits import open_splits
from e2.training.step import draw_noise, find_gradients
from e2.training.train import batches
from tests.conftest import TAGS
from tests.e2.training.stops import last_weights, resumed_weights


def prepared(shop, tiny, out, **options):
    """A run before its first step."""
    fixed = {"data.data": str(shop), "data.tags": ",".join(TAGS), "backbone": tiny, "data.workers": 0, "device": "cpu"}
    config = resolve({**fixed, "data.batch_size": 16, "steps": 4, **options}, None, [])
    return prepare(config, *open_splits(config), out)


def step(shop, tiny, out, **options):
    """One step's gradients, and the bytes that its forward pass keeps for them."""
    run = prepared(shop, tiny, out, **options)
    batch, kept = dataclasses.replace(next(batches(run))), {}
    run.method.train()
    draw_noise(run, batch)

    def keep(tensor):
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        find_gradients(run, batch)
    return {name: p.grad for name, p in run.method.named_parameters() if p.grad is not None}, sum(kept.values())


@pytest.mark.parametrize("method", ["clip", "e2"])
def test_checkpointing_keeps_less_and_finds_the_same_gradients(shop, tiny, tmp_path, method):
    (plain, more), (again, less) = (
        step(shop, tiny, tmp_path, method=method, checkpointing=setting) for setting in (False, True)
    )
    assert less < 0.7 * more
    assert plain.keys() == again.keys()
    for name, gradient in plain.items():
        assert_close(again[name], gradient)


def test_tf32_is_set_for_its_run_alone(shop, tiny, tmp_path):
    for setting in (True, False):
        step(shop, tiny, tmp_path, method="clip", tf32=setting)
        assert torch.backends.cuda.matmul.allow_tf32 is setting


@pytest.fixture
def orders(monkeypatch):
    """Orders of memory of the weights of convolutions that an optimizer gets, and of their moments at its steps."""
    found = {"weights": set(), "moments": set()}
    real = torch.optim.AdamW.step

    def noting(self, *args, **kwargs):
        given = real(self, *args, **kwargs)
        for p, state in self.state.items():
            if p.ndim == 4 and p.shape[1] > 1 and p.shape[2] > 1:
                found["weights"].add(p.is_contiguous(memory_format=torch.channels_last))
                found["moments"].add(state["exp_avg"].stride() == p.stride() == state["exp_avg_sq"].stride())
        return given

    monkeypatch.setattr(torch.optim.AdamW, "step", noting)
    return found


def test_channels_last_changes_the_order_alone_and_resumes_to_the_same_bits(shop, tiny, tmp_path, orders, monkeypatch):
    """Fused steps go through memory as it lies: moments in another order would belong to other weights."""
    plain = last_weights("", shop, tmp_path / "plain")
    assert orders["weights"] == {False}
    orders["weights"].clear()
    ours = last_weights("--set channels_last=true", shop, tmp_path / "last")
    for name, weight in plain.items():
        assert_close(ours[name], weight, atol=1e-4, rtol=1e-3, msg=lambda text, name=name: f"{name}: {text}")
    resumed = resumed_weights("--set channels_last=true", shop, tmp_path / "broken", monkeypatch)
    assert all(torch.equal(ours[name], resumed[name]) for name in ours)
    assert orders == {"weights": {True}, "moments": {True}}

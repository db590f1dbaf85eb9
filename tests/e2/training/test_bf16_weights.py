"""Weights in bfloat16: a run like one whose weights are float32, half the bytes, and nothing lost between steps."""

import csv

import pytest
import torch
from torch import nn

from e2.config import TrainConfig
from e2.errors import InputError
from e2.settings import merged
from e2.training.bf16_weights import MASTER, MasterAdamW
from e2.training.dry_run import plan
from e2.training.optim import named_state
from e2.training.step import take_step
from e2.training.train import batches
from tests.e2.training.stops import last_weights, resumed_weights
from tests.e2.training.test_memory import prepared

HALF = "--set optim.lr=0.001 --precision bf16 --set optim.bf16_weights=true"


def test_steps_are_those_of_float32_weights_however_small():
    """A weight of 1 moves by 1e-4, which rounds to none in bfloat16, and after 100 steps by 0.01."""
    start, gradients = torch.linspace(0.5, 1.5, 12).bfloat16(), torch.randn(100, 12).abs().bfloat16()
    ours, plain = nn.Parameter(start.clone()), nn.Parameter(start.float())
    options = {"lr": 1e-4, "weight_decay": 0.1, "fused": True}
    rounded, whole = MasterAdamW([ours], **options), torch.optim.AdamW([plain], **options)
    for gradient in gradients:
        ours.grad, plain.grad = gradient.clone(), gradient.float()
        rounded.step()
        whole.step()
    assert torch.equal(rounded.state[ours][MASTER], plain.data)
    assert torch.equal(ours, plain.bfloat16()) and (start - ours > 0).all() and ours.grad is None
    assert {name: tensor.dtype for name, tensor in rounded.state[ours].items()} == dict.fromkeys(
        (MASTER, "exp_avg", "exp_avg_sq", "step"), torch.float32
    )


def losses(out) -> list[float]:
    with open(out / "log.csv") as file:
        found = [float(row["loss"]) for row in csv.DictReader(file) if row["loss"]]
    assert found
    return found


@pytest.mark.parametrize("method", ["clip", "e2"])
def test_a_run_is_close_to_one_in_float32_and_so_is_the_type_of_its_checkpoint(shop, tiny, tmp_path, method):
    """Adam's first steps are of one length, whatever the gradient's: of one near zero rounding decides the direction."""
    runs = {"half": HALF, "fp32": "--set optim.lr=0.001"}
    weights, plain = (last_weights(f"{line} --method {method}", shop, tmp_path / name) for name, line in runs.items())
    assert losses(tmp_path / "half") == pytest.approx(losses(tmp_path / "fp32"), rel=0.01)
    assert {tensor.dtype for tensor in weights.values()} == {torch.float32} and weights.keys() == plain.keys()
    for name, value in weights.items():
        assert (value - plain[name]).abs().mean() < 1e-3, name
    name = "visual.transformer.resblocks.0.mlp.c_fc.weight"
    assert torch.equal(weights[name], weights[name].bfloat16().float()) and not torch.equal(plain[name], weights[name])


@pytest.mark.parametrize("average", ["", "--set optim.ema=0.9"])
def test_a_run_resumes_to_the_same_bits(shop, tiny, tmp_path, monkeypatch, average):
    weights = last_weights(f"{HALF} {average}", shop, tmp_path / "through")
    resumed = resumed_weights(f"{HALF} {average}", shop, tmp_path / "broken", monkeypatch)
    assert all(torch.equal(weights[name], resumed[name]) for name in weights)


def test_memory_is_counted(shop, tiny, tmp_path):
    """A number of a matrix takes 2 bytes for the weight, 2 for its gradient and 12 for copy and moments, not 4, 4 and 8."""
    sizes, numbers = {}, 0
    for half in (True, False):
        run = prepared(shop, tiny, tmp_path, method="clip", precision="bf16", **{"optim.bf16_weights": half})
        take_step(run, next(batches(run)))
        sizes[half] = plan(run)
        copies = {name: copy for name, copy in named_state(run.optimizer, run.method) if name.endswith(MASTER)}
        numbers += sum(copy.numel() for copy in copies.values())
        assert all("weight" in name or "embedding" in name or "proj" in name for name in copies) and bool(copies) is half
    assert numbers > 0.9 * sizes[False]["weights"] / 4
    difference = {name: sizes[True][name] - sizes[False][name] for name in ("weights", "gradients", "moments")}
    assert difference == {"weights": -2 * numbers, "gradients": -2 * numbers, "moments": 4 * numbers}


def test_they_need_bf16():
    with pytest.raises(InputError, match="optim.bf16_weights needs --precision bf16"):
        merged(TrainConfig(), {"optim": {"bf16_weights": True}}, "options")

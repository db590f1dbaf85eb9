"""Losses by texts that go round equal those of one process, in values and gradients, with shares that differ."""

import subprocess
import sys

import pytest
import torch
from torch.testing import assert_close

from e2.losses import region_loss, sigmoid_loss
from e2.targets import tag_targets
from tests.e2.ring_worker import TAGS_OF, TEXT_OF, parameters
from tests.shared import ROOT


@pytest.mark.parametrize("world", [2, 4])
def test_the_mean_over_the_processes_is_the_whole(tmp_path, world):
    subprocess.run([sys.executable, "-m", "tests.e2.ring_worker", str(world), str(tmp_path)], cwd=ROOT, check=True)
    found = [torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(world)]
    photos, regions, texts, scale, bias = given = parameters()

    def loss_of(photos, texts, targets, scale):
        return sigmoid_loss(photos, texts, targets, scale, bias)

    whole = loss_of(photos, texts, TEXT_OF, scale) + region_loss(regions, texts, tag_targets(TAGS_OF), scale, loss=loss_of)
    (3 * whole).backward()
    assert_close(sum(part["loss"] for part in found) / world, whole.detach())
    for x, parts in zip(given, zip(*(part["grads"] for part in found), strict=True), strict=True):
        assert_close(sum(torch.zeros_like(x) if part is None else part for part in parts) / world, x.grad)
    assert max(part["held"] for part in found) <= {2: 5, 4: 3}[world]  # texts of one process, never of all

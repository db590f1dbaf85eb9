"""The sigmoid loss by texts that go round equals that of one process, in values and gradients, with shares that differ."""

import os

import pytest
import torch
import torch.distributed as dist
from torch.testing import assert_close

from e2 import ring
from e2.losses import sigmoid_loss
from e2.ring import ring_sigmoid_loss

PHOTOS, WIDTH = 11, 6
TEXT_OF = torch.tensor([0, 1, 2, 3, 1, 4, 5, 0, 6, 7, 1])  # of each photo; processes share texts 0 and 1


def parameters() -> list[torch.Tensor]:
    torch.manual_seed(0)
    photos, texts = torch.randn(PHOTOS, WIDTH), torch.randn(8, WIDTH)
    return [x.requires_grad_() for x in (photos, texts, torch.tensor(7.0), torch.tensor(-3.0))]


def share(rank: int, world: int, folder) -> None:
    """One process's part: its loss, and its gradients of everything."""
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=world)
    photos, texts, scale, bias = given = parameters()
    mine = torch.arange(rank, PHOTOS, world)
    own = TEXT_OF[mine].unique().flip(0)  # in some order
    held, send = [], ring._send_on
    ring._send_on = lambda tensor: (held.append(len(tensor)), send(tensor))[1]
    loss = ring_sigmoid_loss(photos[mine], texts[own], TEXT_OF[mine] * 10**15, own * 10**15, scale, bias)
    (3 * loss).backward()
    torch.save({"loss": loss.detach(), "held": max(held), "grads": [x.grad for x in given]}, f"{folder}/{rank}.pt")


def forked(world: int, folder) -> list[dict]:
    """What each of some processes found; forks, which need no imports."""
    children = []
    for rank in range(world):
        if not (child := os.fork()):
            status = 1
            try:
                share(rank, world, folder)
                status = 0
            finally:
                os._exit(status)
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * world
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(world)]


@pytest.mark.parametrize("world", [2, 4])
def test_the_mean_over_the_processes_is_the_whole(tmp_path, monkeypatch, world):
    monkeypatch.setattr(ring, "BLOCK", 2)
    found = forked(world, tmp_path)
    photos, texts, scale, bias = given = parameters()
    whole = sigmoid_loss(photos, texts, TEXT_OF, scale, bias)
    (3 * whole).backward()
    assert_close(sum(part["loss"] for part in found) / world, whole.detach())
    for x, parts in zip(given, zip(*(part["grads"] for part in found), strict=True), strict=True):
        assert_close(sum(parts) / world, x.grad)
    assert max(part["held"] for part in found) <= {2: 5, 4: 3}[world]  # texts of one process, never of all

"""Processes of a ring, each a fork of this one, for `test_ring`: ``python -m tests.e2.ring_worker WORLD FOLDER``.

In the tests' own process others have used autograd, whose threads a fork cannot take along.
"""

import os
import sys

import torch
import torch.distributed as dist

from e2 import ring
from e2.ring import ring_region_loss, ring_sigmoid_loss
from e2.targets import find_targets, tag_targets

PHOTOS, WIDTH, TEXTS = 11, 6, 8
TEXT_OF = torch.tensor([0, 1, 2, 3, 1, 4, 5, 0, 6, 7, 1])  # of each photo; processes share texts 0 and 1
FEW = [[4, 5], [-1, -1], [5, -1], [4, -1], *7 * [[-1, -1]]]  # tags of an entity that the second of four processes never sees
NONE = 11 * [[-1, -1]]
TAGS_OF = torch.tensor([[[0, 1], [2, -1], [1, 0], [0, -1], *7 * [[3, 1]]], FEW, NONE]).transpose(0, 1)  # (11, 3, 2)


def parameters() -> list[torch.Tensor]:
    torch.manual_seed(0)
    photos, regions, texts = torch.randn(PHOTOS, WIDTH), torch.randn(PHOTOS, 3, WIDTH), torch.randn(TEXTS, WIDTH)
    return [x.requires_grad_() for x in (photos, regions, texts, torch.tensor(7.0), torch.tensor(-3.0))]


def share(rank: int, world: int, folder) -> None:
    """One process's part: its loss, and its gradients of everything."""
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=world)
    photos, regions, texts, scale, bias = given = parameters()
    mine = torch.arange(rank, PHOTOS, world)
    held, send = [], ring._send_on
    ring.BLOCK = 2
    ring._send_on = lambda tensor: (held.append(len(tensor)), send(tensor))[1]
    shared = texts.flip(0), (TEXTS - 1 - torch.arange(TEXTS)) * 10**15, scale, bias  # in some order
    places = torch.where(TAGS_OF < 0, -1, TEXTS - 1 - TAGS_OF)
    described = ring_sigmoid_loss(photos[mine], shared[0], find_targets(TEXTS - 1 - TEXT_OF[mine]), *shared[1:])
    tagged = ring_region_loss(regions[mine], shared[0], tag_targets(places[mine]), *shared[1:])
    loss = described + tagged
    (3 * loss).backward()
    torch.save({"loss": loss.detach(), "held": max(held), "grads": [x.grad for x in given]}, f"{folder}/{rank}.pt")


def main(world: int, folder: str) -> None:
    """Forks the processes; ends badly if one of them does."""
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
    ends = [os.waitpid(child, 0)[1] for child in children]
    sys.exit(any(ends))


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])

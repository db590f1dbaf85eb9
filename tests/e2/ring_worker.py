"""Processes of a ring, each a fork of this one, for `test_ring`: ``python -m tests.e2.ring_worker WORLD FOLDER``.

In the tests' own process others have used autograd, whose threads a fork cannot take along.
"""

import os
import sys

import torch
import torch.distributed as dist

from e2 import ring
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
    ring.BLOCK = 2
    ring._send_on = lambda tensor: (held.append(len(tensor)), send(tensor))[1]
    loss = ring_sigmoid_loss(photos[mine], texts[own], TEXT_OF[mine] * 10**15, own * 10**15, scale, bias)
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

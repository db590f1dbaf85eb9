"""SigLIP's loss, and the region loss made of it, over several processes, none of which ever holds the texts of all.

Each process keeps its photos; the texts go round from process to process, and with them what their gradient has come to,
which is whole when they are back (after Zhai et al., ICCV 2023, section 3.3). So memory follows the process's own share of the
batch, not the batch.
"""

from collections.abc import Sequence

import torch
import torch.distributed as dist
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.distributed import P2POp
from torch.nn import functional as F

from e2.lookup import lookup
from e2.losses import BLOCK
from e2.targets import Targets


def ring_region_loss(
    regions: Tensor, texts: Tensor, targets: Sequence[Targets | None], keys: Tensor, scale: Tensor, bias: Tensor | None
) -> Tensor:
    """Computes W times this process's part of :func:`e2.losses.region_loss` with the sigmoid loss.

    Args:
        regions: (b, E, D) one embedding per photo of this process and entity.
        texts: (u, D) features of this process's unique texts.
        targets: photos and tag texts of each entity; None where no product of this process has one.
        keys, scale, bias: as for :func:`ring_sigmoid_loss`.
    """
    counts = torch.tensor([0 if found is None else len(found.photos) for found in targets], device=texts.device)
    none = torch.empty(0, dtype=torch.long, device=texts.device)
    terms = []
    for entity, photos in enumerate(_of_all(counts).sum(dim=0).tolist()):
        if photos:
            own = targets[entity] or Targets(none, none, none)
            terms.append(ring_sigmoid_loss(regions[:, entity], texts, own, keys, scale, bias))
    return torch.stack(terms).mean() if terms else regions.sum() * 0.0


def ring_sigmoid_loss(
    photos: Tensor, texts: Tensor, targets: Targets, keys: Tensor, scale: Tensor, bias: Tensor | None
) -> Tensor:
    """Computes W times this process's part of :func:`e2.losses.sigmoid_loss`: the mean over the processes is the whole loss.

    Args:
        photos: (b, D) features of this process's photos.
        texts: (u, D) features of this process's unique texts.
        targets: photos and texts that count, each unique; one text that an earlier process has, too, counts there.
        keys: (u,) keys of the texts: the same text has the same in all processes.
        scale: the exponentiated logit scale.
        bias: added to the scaled cosines.
    """
    assert bias is not None
    world = dist.get_world_size()
    photos, texts, keys = lookup(photos, targets.photos), lookup(texts, targets.texts), keys[targets.texts]
    places = targets.places if targets.places.ndim == 2 else targets.places.unsqueeze(1)
    wanted = keys[torch.where(places < 0, places[:, :1], places)]  # (b, V)
    sizes = _of_all(torch.tensor([len(photos), len(texts)], device=texts.device))
    most, total = int(sizes[:, 1].max()), int(sizes[:, 0].sum())
    all_keys = _of_all(F.pad(keys, (0, most - len(keys))))  # (W, m)
    there = torch.arange(most, device=keys.device) < sizes[:, 1:]
    for later in range(1, world):
        there[later] &= ~torch.isin(all_keys[later], all_keys[:later][there[:later]])
    with torch.autocast(texts.device.type, enabled=False):
        unit = F.pad(F.normalize(texts.float(), dim=-1), (0, 0, 0, most - len(texts)))
        own = F.normalize(photos.float(), dim=-1)
        terms: Tensor = _Ring.apply(own, unit, scale, bias, wanted, all_keys, there)  # type: ignore[no-untyped-call]
    return terms * world / total


class _Ring(torch.autograd.Function):
    """Sum of the terms of own photos with everyone's texts. The gradient is found on the way, by its formula: no logits of
    more than ``BLOCK`` photos and one process's texts exist, nor are any computed twice.
    """

    @staticmethod
    def forward(ctx, photos, texts, scale, bias, wanted, keys, there):
        rank, world = dist.get_rank(), dist.get_world_size()
        total, to_scale, to_bias = (torch.zeros((), device=photos.device) for _ in range(3))
        to_photos, to_texts, held = torch.zeros_like(photos), torch.zeros_like(texts), texts
        for hop in range(world):
            owner = (rank - hop) % world
            arriving = _send_on(held) if hop < world - 1 else None
            for start in range(0, len(photos), BLOCK):
                rows = slice(start, start + BLOCK)
                cosines = photos[rows] @ held.T
                logits, own = scale * cosines + bias, (wanted[rows, :, None] == keys[owner]).any(dim=1)
                total += (F.softplus(torch.where(own, -logits, logits)) * there[owner]).sum()
                slopes = (logits.sigmoid() - own.float()) * there[owner]  # of the terms by the logits
                to_scale += (slopes * cosines).sum()
                to_bias += slopes.sum()
                to_photos[rows] += scale * (slopes @ held)
                to_texts += scale * (slopes.T @ photos[rows])
            to_texts = _arrived(_send_on(to_texts))
            held = _arrived(arriving) if arriving else held
        ctx.save_for_backward(to_photos, to_texts, to_scale, to_bias)
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient):
        return (*(gradient * found for found in ctx.saved_tensors), None, None, None)


def _send_on(tensor: Tensor) -> tuple[Tensor, list[dist.Work]]:
    """Begins to send a tensor to the next process, and to receive that of the one before."""
    rank, world, arriving = dist.get_rank(), dist.get_world_size(), torch.empty_like(tensor)
    ways = [P2POp(dist.isend, tensor, (rank + 1) % world), P2POp(dist.irecv, arriving, (rank - 1) % world)]
    return arriving, dist.batch_isend_irecv(ways)


def _arrived(sent: tuple[Tensor, list[dist.Work]]) -> Tensor:
    for work in sent[1]:
        work.wait()
    return sent[0]


def _of_all(tensor: Tensor) -> Tensor:
    """The tensors of one shape of all processes, (...) -> (W, ...)."""
    parts = [torch.empty_like(tensor) for _ in range(dist.get_world_size())]
    dist.all_gather(parts, tensor.contiguous())
    return torch.stack(parts)

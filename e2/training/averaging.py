"""Averages gradients over the processes while the backward pass goes on, in buckets, as PyTorch's ``DistributedDataParallel``
does (Li et al., VLDB 2020). That one knows a single forward and backward pass a step, which gradient caching is not.
"""

import contextlib
from collections.abc import Callable, Iterable, Iterator

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

BUCKET = 25 << 20  # bytes sent at a time


class GradientAverage:
    """Replaces each gradient by its mean over the processes; those of sharded parameters (FSDP) already are.

    Buckets are sent in one order, that of the backward pass, in all processes; each once its last gradient is there, what is
    left at the end.

    Args:
        parameters: the same in all processes, and so are those that get a gradient.
        complete: those of them to whose gradients the pass of :meth:`during` adds nothing.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], complete: Iterable[nn.Parameter] = ()):
        own, there = [p for p in parameters if p.requires_grad and not isinstance(p, DTensor)], {id(p) for p in complete}
        first = list(_buckets(p for p in own if id(p) in there))
        self.awaited = list(_buckets(p for p in reversed(own) if id(p) not in there))
        self.buckets = [*first, *self.awaited]
        self.missing = [0] * len(first) + [len(bucket) for bucket in self.awaited]
        self.next = 0
        self.sent: list[tuple[dist.Work, Tensor, list[Tensor]]] = []

    @contextlib.contextmanager
    def during(self) -> Iterator[None]:
        """Sends what is ready in this backward pass, the step's last: no gradient changes once it was sent."""
        first = len(self.buckets) - len(self.awaited)
        awaited = [(number, p) for number, bucket in enumerate(self.awaited, first) for p in bucket]
        hooks = [p.register_post_accumulate_grad_hook(self._arrival(number)) for number, p in awaited]
        self._send_ready()
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    def finish(self) -> None:
        """Sends the rest, and waits for all."""
        while self.next < len(self.buckets):
            self._send()
        for work, flat, gradients in self.sent:
            work.wait()
            flat.div_(dist.get_world_size())
            means = flat.split([gradient.numel() for gradient in gradients])
            torch._foreach_copy_(gradients, [mean.view_as(x) for mean, x in zip(means, gradients, strict=True)])

    def _arrival(self, number: int) -> Callable[[Tensor], None]:
        def arrived(_: Tensor) -> None:
            self.missing[number] -= 1
            self._send_ready()

        return arrived

    def _send_ready(self) -> None:
        while self.next < len(self.buckets) and not self.missing[self.next]:
            self._send()

    def _send(self) -> None:
        gradients = [p.grad for p in self.buckets[self.next] if p.grad is not None]
        self.next += 1
        if gradients:
            flat = torch.cat([gradient.flatten() for gradient in gradients])
            self.sent.append((dist.all_reduce(flat, async_op=True), flat, gradients))


def _buckets(parameters: Iterable[nn.Parameter]) -> Iterator[list[nn.Parameter]]:
    """Parameters of one type, in order, of about `BUCKET` bytes together."""
    bucket: list[nn.Parameter] = []
    size = 0
    for p in parameters:
        if bucket and (size >= BUCKET or p.dtype != bucket[0].dtype):
            yield bucket
            bucket, size = [], 0
        bucket.append(p)
        size += p.numel() * p.element_size()
    if bucket:
        yield bucket

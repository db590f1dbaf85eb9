"""Activations of photos behind the frozen front of an image tower, from which a forward pass can continue.

A tower whose first blocks are frozen gives the same activations of a photo in every epoch (``e2.front`` says which of them the
rest of a model needs). Pixels stand for a pass of which nothing has run yet.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from e2.errors import InputError


@dataclass
class Activations:
    """A batch of photos after part of an image tower.

    Attributes:
        streams: blocks run -> residual stream (B, P + N, W), as far as it is needed.
        pooled: (B, W) from the tower's pool, if all in front of its projection has run.
        pixels: (B, 3, H, W), for parts that look at the photos themselves.
    """

    streams: dict[int, Tensor] = field(default_factory=dict)
    pooled: Tensor | None = None
    pixels: Tensor | None = None

    def map(self, change: Callable[[Tensor], Tensor]) -> "Activations":
        """Changes each tensor."""
        streams = {depth: change(stream) for depth, stream in self.streams.items()}
        return Activations(streams, *(None if part is None else change(part) for part in (self.pooled, self.pixels)))

    def to(self, *place: Any, **options: Any) -> "Activations":
        """Moves or converts all tensors, as ``Tensor.to`` does."""
        return self.map(lambda tensor: tensor.to(*place, **options))

    def pin_memory(self) -> "Activations":
        return self.map(Tensor.pin_memory)

    def tensors(self) -> dict[str, Tensor]:
        """All tensors, by the names of :meth:`e2.front.Front.fields`."""
        named: dict[str, Tensor | None] = {stream_name(depth): stream for depth, stream in self.streams.items()}
        named |= {"pooled": self.pooled, "pixels": self.pixels}
        return {name: tensor for name, tensor in named.items() if tensor is not None}

    @classmethod
    def of(cls, tensors: dict[str, Tensor]) -> "Activations":
        """Activations from tensors by name, the reverse of :meth:`tensors`."""
        streams = {int(name.removeprefix(STREAM)): tensor for name, tensor in tensors.items() if name.startswith(STREAM)}
        return cls(streams, tensors.get("pooled"), tensors.get("pixels"))

    @property
    def device(self) -> torch.device:
        return next(iter(self.tensors().values())).device

    @property
    def dtype(self) -> torch.dtype:
        """Type of the residual stream's numbers."""
        return (next(iter(self.streams.values())) if self.pooled is None else self.pooled).dtype

    def __getitem__(self, rows: Any) -> "Activations":
        return self.map(lambda tensor: tensor[rows])

    def __len__(self) -> int:
        return len(next(iter(self.tensors().values())))


STREAM = "stream-"
Photos = Tensor | Activations  # (B, 3, H, W), or what a frozen front made of them


def stream_name(depth: int) -> str:
    """Name of the residual stream after ``depth`` blocks."""
    return f"{STREAM}{depth}"


def half_precision(kept: Tensor) -> Tensor:
    """Converts the outputs of frozen layers to half precision for storage: float16, or bfloat16 if they have it already.

    Raises:
        InputError: numbers beyond half precision.
    """
    kept = kept if kept.dtype == torch.bfloat16 else kept.half()
    if not kept.isfinite().all():
        raise InputError("--cache: the frozen layers give numbers beyond half precision; leave out --cache")
    return kept


def stack_photos(photos: Sequence[Photos]) -> Photos:
    """One batch from single photos, pixels (3, H, W) or activations without batch dimension."""
    if isinstance(photos[0], Tensor):
        return torch.stack([photo for photo in photos if isinstance(photo, Tensor)])
    rows = [photo.tensors() for photo in photos if isinstance(photo, Activations)]
    with torch.autocast("cpu", enabled=False):  # the loader's processes inherit it, and it does not support half precision
        return Activations.of({name: torch.stack([row[name] for row in rows]) for name in rows[0]})

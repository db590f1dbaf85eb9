"""Photos as the frozen front of an image tower leaves them, so that a pass may begin behind it.

A tower whose first blocks are frozen gives the same activations of a photo in every epoch. ``Front`` says which of them the
rest of a model needs; ``Activations`` holds them for a batch. Photos as pixels are the case in which nothing has run.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from e2.tower import Tower


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
        """All tensors, by the names of :meth:`Front.fields`."""
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
        """Of the residual stream."""
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


def stack_photos(photos: Sequence[Photos]) -> Photos:
    """One batch from single photos, pixels (3, H, W) or activations without batch dimension."""
    if isinstance(photos[0], Tensor):
        return torch.stack([photo for photo in photos if isinstance(photo, Tensor)])
    rows = [photo.tensors() for photo in photos if isinstance(photo, Activations)]
    return Activations.of({name: torch.stack([row[name] for row in rows]) for name in rows[0]})


@dataclass(frozen=True)
class Front:
    """The part of an image tower that runs once per photo, and what the rest needs of it.

    Attributes:
        blocks: number of blocks in it.
        depths: streams to keep, by the number of blocks run.
        pooled: whether all in front of the projection belongs to it; the pooled output is kept then.
        pixels: whether the rest looks at the photos, too.
    """

    blocks: int
    depths: tuple[int, ...]
    pooled: bool = False
    pixels: bool = False

    def fields(self, tower: "Tower", size: tuple[int, int]) -> dict[str, tuple[int, ...]]:
        """Name -> shape of what is kept of one photo of ``size`` (height, width)."""
        rows = tower.num_prefix_tokens + tower.num_patches
        fields: dict[str, tuple[int, ...]] = {stream_name(depth): (rows, tower.width) for depth in self.depths}
        fields |= {"pooled": (tower.width,)} if self.pooled else {}
        return fields | ({"pixels": (3, *size)} if self.pixels else {})

    @torch.no_grad()
    def run(self, tower: "Tower", images: Tensor) -> Activations:
        """(B, 3, H, W) -> activations, without pixels."""
        stream = tower.embed(images)
        kept = {0: stream}
        for depth, block in enumerate(tower.blocks[: self.blocks], start=1):
            stream = tower.run(block, stream)
            kept[depth] = stream
        return Activations({depth: kept[depth] for depth in self.depths}, tower.pooled(stream) if self.pooled else None)

"""The frozen part of an image tower, which runs once per photo."""

from dataclasses import dataclass

import torch
from torch import Tensor

from e2.activations import Activations, stream_name
from e2.tower import Tower


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

    def fields(self, tower: Tower, size: tuple[int, int]) -> dict[str, tuple[int, ...]]:
        """Name -> shape of what is kept of one photo of ``size`` (height, width)."""
        rows = tower.num_prefix_tokens + tower.num_patches
        fields: dict[str, tuple[int, ...]] = {stream_name(depth): (rows, tower.width) for depth in self.depths}
        fields |= {"pooled": (tower.width,)} if self.pooled else {}
        return fields | ({"pixels": (3, *size)} if self.pixels else {})

    @torch.no_grad()
    def run(self, tower: Tower, images: Tensor) -> Activations:
        """(B, 3, H, W) -> activations, without pixels."""
        stream, kept = tower.embed(images), Activations()
        for depth in range(self.blocks + 1):
            stream = tower.run(tower.blocks[depth - 1], stream) if depth else stream
            if depth in self.depths:
                kept.streams[depth] = stream
        kept.pooled = tower.pooled(stream) if self.pooled else None
        return kept

"""Locations of a photo that selection tokens choose among, behind one interface."""

from abc import abstractmethod
from typing import Any

from torch import Tensor, nn

from e2.tower import Tower


class Locations(nn.Module):
    """Features of N locations of a photo; only what tokens pick of them is lifted to the backbone's width."""

    grid: tuple[int, int]  # (rows, columns) of the locations, N in all
    channels: int  # C of their features
    lift: nn.Module  # (..., C) -> (..., W)
    reads_pixels: bool  # they are features of the photos themselves, not of the backbone

    @abstractmethod
    def forward(self, images: Tensor | None) -> Any:
        """(B, 3, H, W) -> what the photos themselves give, once a pass; handed on to ``features``."""

    @abstractmethod
    def features(self, seen: Any, stream: Tensor | None) -> Tensor:
        """Output of ``forward``, the backbone's stream (B, P + N, W) after a block -> (B, N, C)."""


class PatchLocations(Locations):
    """The backbone's patches after a block, as in the paper."""

    reads_pixels = False

    def __init__(self, tower: Tower):
        super().__init__()
        self.grid, self.channels, self.lift = tower.grid, tower.width, nn.Identity()
        self.prefix = tower.num_prefix_tokens

    def forward(self, images: Tensor | None) -> None:
        return None

    def features(self, seen: None, stream: Tensor | None) -> Tensor:
        assert stream is not None
        return stream[:, self.prefix :]

"""Locations of a photo that selection tokens choose among, behind one interface."""

from abc import abstractmethod
from typing import Any

from torch import Tensor, nn

from e2.tower import Tower


class Locations(nn.Module):
    """Features of N locations of a photo; only what tokens pick of them is lifted to the backbone's width.

    Attributes:
        grid: (rows, columns) of the locations, N in all.
        channels: C of their features.
        lift: (..., C) -> (..., W).
    """

    grid: tuple[int, int]
    channels: int
    lift: nn.Module

    @abstractmethod
    def forward(self, images: Tensor) -> Any:
        """(B, 3, H, W) -> what the photos themselves give, once a pass; handed on to ``features``."""

    @abstractmethod
    def features(self, seen: Any, patches: Tensor) -> Tensor:
        """Output of ``forward``, the backbone's patches (B, P, W) after a block -> (B, N, C)."""


class PatchLocations(Locations):
    """The backbone's patches after a block, as in the paper."""

    def __init__(self, tower: Tower):
        super().__init__()
        self.grid, self.channels, self.lift = tower.grid, tower.width, nn.Identity()

    def forward(self, images: Tensor) -> None:
        return None

    def features(self, seen: None, patches: Tensor) -> Tensor:
        return patches

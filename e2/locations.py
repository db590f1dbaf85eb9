"""Locations of a photo that selection tokens choose among, behind one interface."""

from abc import abstractmethod
from typing import Any

import torch
from torch import Tensor, nn

from e2.tower import Tower

REGISTER_NORM = 2.0  # times the photo's median; CLIP's ViT-B/16 has 88 % of its patches below 1.25 and 11 % between 3 and 20


class Locations(nn.Module):
    """Features of N locations of a photo; only what tokens pick of them is lifted to the backbone's width."""

    grid: tuple[int, int]  # (rows, columns) of the locations, N in all
    channels: int  # C of their features
    lift: nn.Module  # (..., C) -> (..., W)
    reads_pixels: bool  # they are features of the photos themselves, not of the backbone
    prefix: int  # P, rows of ``features`` in front of the locations

    @abstractmethod
    def forward(self, images: Tensor | None) -> Any:
        """(B, 3, H, W) -> what the photos themselves give, once a pass; handed on to ``features``."""

    @abstractmethod
    def features(self, seen: Any, stream: Tensor | None) -> Tensor:
        """Output of ``forward``, the backbone's stream after a block -> (B, P + N, C), the locations last."""

    def hidden(self, features: Tensor) -> Tensor | None:
        """(B, P + N, C) -> (B, N), True where no token may choose; None: tokens may choose everywhere."""
        return None


class PatchLocations(Locations):
    """The backbone's patches after a block, as in the paper, less those that tell nothing of their place.

    Pre-trained towers use patches of plain background as registers: they overwrite them with notes on the whole photo, of many
    times the norm of others (Darcet et al., *Vision Transformers Need Registers*, ICLR 2024). Tokens that choose them learn
    what the class token knows already, and their maps show nothing.

    Args:
        tower: whose patches they are.
        hide_registers: hide patches of more than ``REGISTER_NORM`` times the median norm of the photo's patches.
    """

    reads_pixels = False

    def __init__(self, tower: Tower, hide_registers: bool):
        super().__init__()
        self.grid, self.channels, self.lift = tower.grid, tower.width, nn.Identity()
        self.prefix, self.hide_registers = tower.num_prefix_tokens, hide_registers

    def forward(self, images: Tensor | None) -> None:
        return None

    def features(self, seen: None, stream: Tensor | None) -> Tensor:
        assert stream is not None
        return stream

    @torch.no_grad()
    def hidden(self, features: Tensor) -> Tensor | None:
        if not self.hide_registers:
            return None
        with torch.autocast(features.device.type, enabled=False):  # it would make a copy in float32
            norms = features.norm(dim=-1)[:, self.prefix :]
        median = norms.sort(dim=1).values[:, norms.shape[1] // 2, None]  # ONNX has no median
        return norms > REGISTER_NORM * median

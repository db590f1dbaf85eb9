"""Features of small neighbourhoods: a few strided convolutions on the pixels, at twice the patch grid.

A ViT's patches soon hold what the whole photo is about, wherever they lie: a token that picks one of them may find a tag
in the background, and nothing makes it look at the logo. These features see a few patches around a spot and no more, so a
token finds a tag only where it *is*; and as locations are finer than patches, a small detail fills one. (The paper's tokens
choose among the backbone's patches: ``ModelConfig.locations="patches"``.)
"""

import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from e2.locations import Locations

FINER = 2  # locations along each side of a patch
FIRST, MOST = 32, 128  # channels of the first convolution; of the widest
LAYERS = 3  # of a step: convolution, norm, non-linearity


class LocalFeatures(Locations):
    """One narrow feature for each location of a grid.

    Args:
        width: W, channels of what is lifted.
        patch: pixels along a patch's side.
        grid: (rows, columns) of the backbone's patches; the locations are ``FINER`` times as many along each side.
    """

    reads_pixels = True
    prefix = 0

    def __init__(self, width: int, patch: int, grid: tuple[int, int]):
        super().__init__()
        self.grid = (FINER * grid[0], FINER * grid[1])
        *halving, channels = channel_plan(width, patch)
        steps: list[nn.Module] = []
        for left, right in zip([3, *halving], halving, strict=False):
            # Four pixels wide: centred on the two that become one. With three every halving shifts what a location sees by
            # half a pixel, and tokens point beside the logo (by a third of a location with patches of 8).
            steps += _step(left, right, kernel=4, stride=2)
        self.convolutions = nn.Sequential(*steps, *_step(halving[-1], channels, kernel=3, stride=1))
        self.channels = channels
        self.lift = nn.Sequential(nn.Linear(channels, width), nn.LayerNorm(width))

    def forward(self, images: Tensor | None) -> Tensor:
        """(B, 3, H, W) -> (B, N, C)."""
        assert images is not None
        x = images
        for first in range(0, len(self.convolutions), LAYERS):
            x = self._run(self.convolutions[first : first + LAYERS], x)
        if x.shape[-2:] != self.grid:  # patches whose side is not a power of two
            x = F.adaptive_avg_pool2d(x, self.grid)
        return x.flatten(2).mT

    def features(self, seen: Tensor, stream: Tensor | None) -> Tensor:
        return seen

    def _run(self, step: nn.Sequential, x: Tensor) -> Tensor:
        """Runs a step. In training, what lies between its layers is computed again for the gradient: near the pixels it takes
        more memory than anything else that E2 adds, and little time."""
        if not (self.training and torch.is_grad_enabled()):
            return step(x)
        return checkpoint(step, x, use_reentrant=False, preserve_rng_state=False)


def channel_plan(width: int, patch: int) -> list[int]:
    """Channels after each convolution: one that halves the sides for each factor of two down to a location, and a last one."""
    count = max(1, round(math.log2(patch / FINER)))
    most = min(MOST, max(FIRST, width // 2))
    return [min(most, FIRST * 2**step) for step in range(count)] + [most]


def _step(left: int, right: int, kernel: int, stride: int) -> Iterator[nn.Module]:
    yield nn.Conv2d(left, right, kernel, stride, padding=1)
    # One group: like a layer norm it needs no other photo, yet a flat spot stays flat beside one full of detail.
    yield nn.GroupNorm(1, right)
    yield nn.GELU()

"""The published layout of E2, for comparison: selection tokens in front of the class token, in full self-attention.

Written from a description of the authors' released code (no licence, nothing copied). Differences from the default reader:
tokens, class token and patches all see each other; fusion blocks have full W x W matrices and no norms; patches are dropped
after the last fusion; the class token gets a new head; selection noise is drawn at evaluation too. Two slips of the released
code are part of it (``slips=True``) because published numbers contain them: the last entity is pooled from one token
instead of two, and a fifth entity goes through the fourth's norm.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from e2.errors import InputError
from e2.front import Front
from e2.reader import Reading, default_layers, token_slices
from e2.selection import HardSelection, gumbel_noise
from e2.tower import Tower

PUBLISHED_WIDTH = 768  # the released code divides the logits by sqrt(768), whatever the width
SHARED_NORM_FROM = 3  # from this entity on (0-based), the released code reuses this entity's norm


class PaperFusion(nn.Module):
    """Single head, no bias, no norm; S <- (S + value of the one selected patch) / 2."""

    def __init__(self, width: int):
        super().__init__()
        self.query = nn.Parameter(torch.randn(width, width) * width**-0.5)
        self.key = nn.Parameter(torch.randn(width, width) * width**-0.5)
        self.value = nn.Parameter(torch.randn(width, width) * width**-0.5)
        self.selector = HardSelection()

    def forward(self, tokens: Tensor, patches: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        logits = (tokens @ self.query) @ (patches @ self.key).mT / PUBLISHED_WIDTH**0.5  # (B, S, N)
        weights = self.selector(logits, noise)
        return (tokens + weights.to(patches.dtype) @ (patches @ self.value)) / 2, weights


class PaperReader(nn.Module):
    """Same interface as ``e2.reader.SelectionReader``; patches are dropped after the last of the fusion ``layers``."""

    def __init__(self, tower: Tower, counts: Mapping[str, int], *, layers: Sequence[int] | None = None, slips: bool = True):
        super().__init__()
        if not tower.pools_class_token:
            raise InputError("the published layout needs a class token, which this backbone lacks; leave out reader=paper")
        width, dim = tower.width, tower.output_dim
        self.slices = token_slices(counts)
        self.grid = tower.grid
        self.layers = tuple(layers or default_layers(len(tower.blocks)))
        self.slips = slips
        self.tokens = nn.Parameter(torch.randn(sum(counts.values()), width) * width**-0.5)
        self.fusions = nn.ModuleDict({str(layer): PaperFusion(width) for layer in self.layers})
        self.image_head = nn.Parameter(torch.randn(width, dim) * width**-0.5)
        self.norms = nn.ModuleList([nn.LayerNorm(width) for _ in counts])
        self.heads = nn.Parameter(torch.randn(len(counts), width, dim) * width**-0.5)

    def draw_noise(self, batch: int, device: torch.device) -> dict[int, Tensor]:
        """Selection noise for one pass: layer -> (B, S, N)."""
        shape = (batch, self.tokens.shape[0], self.grid[0] * self.grid[1])
        return {layer: gumbel_noise(shape, device) for layer in self.layers}

    def front(self, tower: Tower) -> Front:
        """Nothing: photo and tokens see each other from the first block on."""
        return Front(0, (), pixels=True)

    def forward(self, tower: Tower, images: Tensor, noise: Mapping[int, Tensor] | None = None) -> Reading:
        """(B, 3, H, W) -> embeddings and selections. Noise is drawn unless given, in training and at inference."""
        if noise is None:
            noise = self.draw_noise(len(images), images.device)
        count, prefix = self.tokens.shape[0], tower.num_prefix_tokens
        x = tower.embed_with(images, self.tokens)  # (B, S + 1 + N, W)
        selections = {}
        for depth, block in enumerate(tower.blocks, start=1):
            x = tower.run(block, x)
            if depth in self.layers:
                tokens, rest = x[:, :count], x[:, count:]
                tokens, selections[depth] = self.fusions[str(depth)](tokens, rest[:, prefix:], noise[depth])
                kept = rest[:, :prefix] if depth == self.layers[-1] else rest
                x = torch.cat([tokens, kept], dim=1)
        image = tower.norm(x[:, count]) @ self.image_head
        return Reading(image, self.region_embeddings(x[:, :count]), selections)

    def region_embeddings(self, tokens: Tensor) -> Tensor:
        """(B, S, W) -> (B, E, D): norm per token, mean over the entity's tokens, own head."""
        pooled = []
        for index, rows in enumerate(self.slices.values()):
            if self.slips and index == len(self.slices) - 1 and rows.stop - rows.start > 1:
                rows = slice(rows.start, rows.stop - 1)
            norm = self.norms[min(index, SHARED_NORM_FROM) if self.slips else index]
            pooled.append(norm(tokens[:, rows]).mean(dim=1))
        return torch.einsum("bew,ewd->bed", torch.stack(pooled, dim=1), self.heads.to(tokens.dtype))

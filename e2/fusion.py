"""The fusion block: selection tokens choose patches and absorb them (E2, NeurIPS 2024, figure of the framework).

The paper's block is one attention head with full W x W matrices for query, key and value, without norms. This one keeps
its form, S <- (S + selected value) / 2, and makes it light: query and key live in a smaller space and the value is the
patch itself plus a low-rank correction that starts at zero, so that fused tokens stay in the backbone's own feature space
from the first step. ``e2.paper`` holds the published block.
"""

from torch import Tensor, nn


class FusionBlock(nn.Module):
    """Selects patches for the tokens and fuses them.

    Args:
        width: W, channels of tokens and patches.
        rank: width of the query/key space and of the value's correction.
        selector: logits (B, S, N), noise -> weights (B, S, N).
    """

    def __init__(self, width: int, rank: int, selector: nn.Module):
        super().__init__()
        self.norm_tokens = nn.LayerNorm(width)
        self.norm_patches = nn.LayerNorm(width)
        self.query = nn.Linear(width, rank, bias=False)
        self.key = nn.Linear(width, rank, bias=False)
        self.value_down = nn.Linear(width, rank, bias=False)
        self.value_up = nn.Linear(rank, width, bias=False)
        self.selector = selector
        self.scale = rank**-0.5
        for layer in (self.query, self.key, self.value_down):
            nn.init.normal_(layer.weight, std=width**-0.5)
        nn.init.zeros_(self.value_up.weight)

    def forward(self, tokens: Tensor, patches: Tensor, noise: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """(B, S, W), (B, N, W) -> fused tokens (B, S, W), selection weights (B, S, N)."""
        normed = self.norm_patches(patches)
        logits = self.query(self.norm_tokens(tokens)) @ self.key(normed).mT * self.scale  # (B, S, N)
        weights = self.selector(logits.float(), noise)
        # Select first, project after: the correction then costs S rows instead of N.
        weights_like = weights.to(patches.dtype)
        selected = weights_like @ patches + self.value_up(self.value_down(weights_like @ normed))
        return (tokens + selected) / 2, weights

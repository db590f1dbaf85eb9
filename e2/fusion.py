"""The fusion block: selection tokens choose locations of the photo and absorb them (E2, NeurIPS 2024, framework figure).

The paper's block is one attention head over the backbone's patches with full W x W matrices for query, key and value, without
norms. This one keeps its form, S <- (S + selected value) / 2, and makes it light: query and key live in a smaller space, and
the value is the location itself, at the backbone's width, plus a low-rank correction that starts at zero. Each token also has
a learned query of its own: pre-trained blocks make tokens alike (a cosine of 0.98 after 8 blocks of CLIP's ViT-B/16), and
tokens that ask alike choose alike. ``e2.paper`` holds the published block.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class FusionBlock(nn.Module):
    """Selects locations for the tokens and fuses them.

    Args:
        width: W, channels of tokens.
        channels: C, channels of locations.
        rank: width of the query/key space and of the value's correction.
        tokens: S, number of tokens.
        selector: logits (B, S, N), noise -> weights (B, S, N).
    """

    def __init__(self, width: int, channels: int, rank: int, tokens: int, selector: nn.Module):
        super().__init__()
        self.norm_tokens = nn.LayerNorm(width)
        self.norm_locations = nn.LayerNorm(channels)
        self.query = nn.Linear(width, rank, bias=False)
        self.own_queries = nn.Parameter(torch.randn(tokens, rank))
        self.key = nn.Linear(channels, rank, bias=False)
        self.value_down = nn.Linear(channels, rank, bias=False)
        self.value_up = nn.Linear(rank, width, bias=False)
        self.selector = selector
        self.scale = rank**-0.5
        for layer in (self.query, self.key, self.value_down):
            nn.init.normal_(layer.weight, std=layer.in_features**-0.5)
        nn.init.zeros_(self.value_up.weight)

    def forward(
        self,
        tokens: Tensor,
        rows: Tensor,
        lift: Callable[[Tensor], Tensor],
        noise: Tensor | None = None,
        hidden: Tensor | None = None,
        first: int = 0,
    ) -> tuple[Tensor, Tensor]:
        """(B, S, W), (B, P + N, C), (..., C) -> (..., W) -> fused tokens (B, S, W), selection weights (B, S, N).

        Locations that are ``hidden``, (B, N), get no weight. The ``first`` P rows are no locations, such as a class token;
        they are skipped here, as a slice without them would be copied, which takes longer than all that is done with it.
        """
        normed = self.standardised(rows)  # (B, P + N, C)
        # The norm's scale and shift, the key, the lift and the value all go to the S tokens: there are far fewer of them than
        # locations. (The shift adds the same to all logits of a token, which no selection sees.)
        scale, shift = self.norm_locations.weight, self.norm_locations.bias
        queries = self.query(self.norm_tokens(tokens)) + self.own_queries  # (B, S, rank)
        asked = queries @ self.key.weight * (scale * self.scale)  # (B, S, C)
        logits = (asked.to(normed.dtype) @ normed.mT)[..., first:].float()  # (B, S, N)
        if hidden is not None:
            logits = logits.masked_fill(hidden.unsqueeze(1), -torch.inf)
        weights = self.selector(logits, noise)
        shares = F.pad(weights, (first, 0)).to(rows.dtype)  # (B, S, P + N)
        selected = lift(shares @ rows) + self.value_up(self.value_down(shares @ normed * scale + shift))
        return (tokens + selected) / 2, weights

    def standardised(self, rows: Tensor) -> Tensor:
        """Rows of mean 0 and variance 1 over the channels, (B, P + N, C), in their own precision: autocast would make float32
        copies of the largest tensor here."""
        with torch.autocast(rows.device.type, enabled=False):
            return F.layer_norm(rows, self.norm_locations.normalized_shape, eps=self.norm_locations.eps)

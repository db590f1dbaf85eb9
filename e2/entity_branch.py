"""Entity-aware texts: a text branch for each tag entity, and descriptions that attend to their output.

After EI-CLIP (Ma et al., CVPR 2022); see ``e2.methods.ei_clip`` for assumptions.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class EntityBranch(nn.Module):
    """A residual bottleneck over the tag's text embedding; it starts as the identity. (u, D) -> (u, D), of unit length."""

    def __init__(self, width: int):
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.down = nn.Linear(width, width // 4)
        self.up = nn.Linear(width // 4, width)
        nn.init.zeros_(self.up.weight)
        nn.init.zeros_(self.up.bias)

    def forward(self, texts: Tensor) -> Tensor:
        return F.normalize(texts + self.up(F.gelu(self.down(self.norm(texts)))), dim=-1)


class EntitySelection(nn.Module):
    """Adds missing entities to each description, which attends over its product's tags.

    One slot of the softmax stands for "none of them". All choices are equally likely at the start.
    """

    def __init__(self, width: int):
        super().__init__()
        self.query = nn.Linear(width, width)
        nn.init.zeros_(self.query.weight)
        nn.init.zeros_(self.query.bias)

    def forward(self, texts: Tensor, entities: Tensor, present: Tensor) -> Tensor:
        """Descriptions (B, D), their tags (B, E, D), which of these exist (B, E) -> entity-aware texts (B, D).

        A text without tags is only normalised.
        """
        texts = F.normalize(texts, dim=-1)
        scores = torch.einsum("bd,bed->be", self.query(texts), entities).masked_fill(~present, -torch.inf)
        chosen = torch.cat([torch.zeros_like(scores[:, :1]), scores], dim=1).softmax(dim=1)[:, 1:]  # (B, E)
        return texts + torch.einsum("be,bed->bd", chosen, entities)


class EntityTexts(nn.Module):
    """One branch per entity, and the selection among them."""

    def __init__(self, tags: Sequence[str], width: int):
        super().__init__()
        self.branches = nn.ModuleList([EntityBranch(width) for _ in tags])
        self.select = EntitySelection(width)

    def forward(self, texts: Tensor) -> Tensor:
        """Passes every text through every entity's branch: (u, D) -> (u, E, D)."""
        return torch.stack([branch(texts) for branch in self.branches], dim=1)

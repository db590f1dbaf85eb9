"""Entity-aware texts: a branch of the text side for each tag entity, and a description that takes in what they say.

After EI-CLIP (Ma et al., CVPR 2022); ``e2.methods.ei_clip`` says what of it is assumed.
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
    """Adds to each description the entities that it leaves open: attention of the description over its product's tags.

    One place in the softmax stands for "none of them". All choices are equally likely at the start.
    """

    def __init__(self, width: int):
        super().__init__()
        self.query = nn.Linear(width, width)
        nn.init.zeros_(self.query.weight)
        nn.init.zeros_(self.query.bias)

    def forward(self, texts: Tensor, entities: Tensor, present: Tensor) -> Tensor:
        """Descriptions (B, D), their tags (B, E, D), which of these exist (B, E) -> entity-aware texts (B, D).

        Without any tag a text stays what it was (at unit length).
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
        """Every text as every entity reads it: (u, D) -> (u, E, D)."""
        return torch.stack([branch(texts) for branch in self.branches], dim=1)

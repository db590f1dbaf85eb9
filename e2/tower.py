"""The one seam between E2 and an image tower: everything E2 needs to know of a backbone's ViT.

Counts, widths and grids are read from the tower, never assumed. ``e2.native_tower`` and ``e2.timm_tower`` hold the families.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint


class Tower(ABC):
    """A view of an image tower; it holds no parameters itself.

    Attributes:
        width: W, channels of the residual stream.
        output_dim: D, width of the embedding.
        grid: (rows, columns) of the patch grid.
        patch_size: pixels along a patch's side (the shorter one).
        num_prefix_tokens: P, tokens in front of the patches (class token, registers; none in SigLIP).
        pools_class_token: the embedding is read off the class token, row 0. Otherwise the pooled output takes its place.
        blocks: the transformer blocks, each called as ``block(x, attn_mask=mask)``.
        checkpointing: blocks keep no activations in training but compute them again.
    """

    width: int
    output_dim: int
    grid: tuple[int, int]
    patch_size: int
    num_prefix_tokens: int
    pools_class_token: bool
    blocks: Sequence[nn.Module]
    checkpointing: bool

    @property
    def num_patches(self) -> int:
        return self.grid[0] * self.grid[1]

    @property
    @abstractmethod
    def norm(self) -> nn.Module:
        """The final norm; region norms start from it."""

    @property
    @abstractmethod
    def proj(self) -> Tensor:
        """The backbone's own projection, (W, D); region projections start from it."""

    @abstractmethod
    def embed(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, P + N, W): prefix and patches with positions, ready for the first block."""

    @abstractmethod
    def norm_tokens(self, tokens: Tensor) -> Tensor:
        """(S, W) -> (S, W): what the tower does to its rows between position embedding and first block."""

    @abstractmethod
    def pool(self, x: Tensor, read: Tensor | float = 0.0) -> Tensor:
        """(B, P + N, W) -> (B, D): the backbone's own pooling, norm and projection.

        ``read`` (B, W) is added to what was pooled: the way of the selection tokens where no class token carries them.
        """

    def merge(self, tokens: Tensor) -> Tensor:
        """(B, k, W) -> (B, W): one summary of several normed tokens."""
        return tokens.mean(dim=1)

    def embed_with(self, images: Tensor, tokens: Tensor) -> Tensor:
        """(B, 3, H, W), (S, W) -> (B, S + P + N, W): tokens without positions in front, all ready for the first block.

        The norm in front of the blocks works row by row: norming the tokens apart gives what norming the sequence gives.
        """
        stream = self.embed(images)
        tokens = self.norm_tokens(tokens).to(stream.dtype).expand(len(images), -1, -1)
        return torch.cat([tokens, stream], dim=1)

    def run(self, block: nn.Module, x: Tensor, attn_mask: Tensor | None = None) -> Tensor:
        """One block, (B, L, W) -> (B, L, W)."""
        if self.checkpointing and torch.is_grad_enabled():
            return checkpoint(block, x, attn_mask=attn_mask, use_reentrant=False)
        return block(x, attn_mask=attn_mask)


def one_way_mask(num_readable: int, num_tokens: int, like: Tensor) -> Tensor:
    """Additive attention mask (R + S, R + S) under which the S selection tokens see the R positions of the image in front of
    them, and not the other way round: the backbone's own stream stays exactly what it was."""
    mask = torch.zeros(num_readable + num_tokens, num_readable + num_tokens, device=like.device, dtype=like.dtype)
    mask[:num_readable, num_readable:] = float("-inf")
    return mask

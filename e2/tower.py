"""Interface between E2 and an image tower: everything E2 needs to know about a backbone's ViT.

Counts, widths and grids are read from the tower, never assumed. ``e2.native_tower`` and ``e2.timm_tower`` hold the families.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from e2.activations import Activations, Photos


class Tower(ABC):
    """View of an image tower; it holds no parameters itself."""

    visual: Any  # open_clip's image tower, known by duck typing
    width: int  # W, channels of the residual stream
    output_dim: int  # D, width of the embedding
    grid: tuple[int, int]  # (rows, columns) of the patch grid
    patch_size: int  # pixels along a patch's side (the shorter one)
    num_prefix_tokens: int  # P, tokens in front of the patches (class token, registers; none in SigLIP)
    pools_class_token: bool  # the embedding comes from the class token, row 0; otherwise from the pooled output
    blocks: Sequence[nn.Module]  # the transformer blocks, each called as ``block(x, attn_mask=mask)``
    checkpointing: bool  # recompute the blocks' activations in the backward pass

    @property
    def num_patches(self) -> int:
        return self.grid[0] * self.grid[1]

    @property
    @abstractmethod
    def norm(self) -> nn.Module:
        """Final norm; region norms start from it."""

    @property
    @abstractmethod
    def proj(self) -> Tensor:
        """The backbone's projection, (W, D); region projections start from it."""

    @abstractmethod
    def embed(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, P + N, W): prefix and patches with positions, ready for the first block."""

    @abstractmethod
    def norm_tokens(self, tokens: Tensor) -> Tensor:
        """Normalises (S, W) as the tower does its rows between position embedding and first block."""

    @abstractmethod
    def pooled(self, x: Tensor) -> Tensor:
        """(B, P + N, W) -> (B, W): the backbone's own final norm and pooling."""

    @abstractmethod
    def project(self, pooled: Tensor) -> Tensor:
        """(B, W) -> (B, D): what follows the pooling."""

    @property
    @abstractmethod
    def pool_parts(self) -> Sequence[nn.Module]:
        """Modules of :meth:`pooled`."""

    @property
    @abstractmethod
    def projection_parts(self) -> Sequence[nn.Module | nn.Parameter]:
        """Modules and parameters of :meth:`project`."""

    def pool(self, x: Tensor) -> Tensor:
        """(B, P + N, W) -> (B, D): the backbone's own pooling, norm and projection."""
        return self.project(self.pooled(x))

    def begin(self, photos: Photos, kept: Tensor | None = None) -> Activations:
        """Photos as activations: pixels (B, 3, H, W) with positions, ready for the first block.

        ``kept``: the patches that the blocks see, (B, K); None = all.
        """
        if isinstance(photos, Activations):
            return photos
        stream = self.embed(photos)
        if kept is not None:
            prefix, patches = stream.split([self.num_prefix_tokens, self.num_patches], dim=1)
            stream = torch.cat([prefix, patches.gather(1, kept.unsqueeze(-1).expand(-1, -1, self.width))], dim=1)
        return Activations({0: stream}, pixels=photos)

    def finish(self, photos: Photos) -> Tensor:
        """Runs what is left of the tower: (B, D)."""
        front = self.begin(photos)
        return self.project(self.pooled(self.last_stream(front)) if front.pooled is None else front.pooled)

    def last_stream(self, photos: Photos) -> Tensor:
        """Runs the blocks that are left: (B, P + N, W)."""
        front = self.begin(photos)
        done = max(front.streams)
        stream = front.streams[done]
        for block in self.blocks[done:]:
            stream = self.run(block, stream)
        return stream

    def frozen_blocks(self) -> int:
        """Number of blocks in front of everything that learns."""
        later = (*self.blocks, *self.pool_parts, *self.projection_parts)
        behind = {id(p) for part in later for p in ([part] if isinstance(part, nn.Parameter) else part.parameters())}
        if any(p.requires_grad for p in self.visual.parameters() if id(p) not in behind):
            return 0
        learning = (any(p.requires_grad for p in block.parameters()) for block in self.blocks)
        return next((depth for depth, learns in enumerate(learning) if learns), len(self.blocks))

    def pool_is_frozen(self) -> bool:
        """True if nothing in front of the projection learns."""
        learns = any(p.requires_grad for part in self.pool_parts for p in part.parameters())
        return not learns and self.frozen_blocks() == len(self.blocks)

    def merge(self, tokens: Tensor) -> Tensor:
        """Summarises several normed tokens: (B, k, W) -> (B, W)."""
        return tokens.mean(dim=1)

    def embed_with(self, images: Tensor, tokens: Tensor) -> Tensor:
        """(B, 3, H, W), (S, W) -> (B, S + P + N, W): tokens without positions first, ready for the first block.

        The norm before the blocks works row by row, so the tokens may be normed separately.
        """
        stream = self.embed(images)
        tokens = self.norm_tokens(tokens).to(stream.dtype).expand(len(images), -1, -1)
        return torch.cat([tokens, stream], dim=1)

    def run(self, block: nn.Module, x: Tensor, attn_mask: Tensor | None = None) -> Tensor:
        """Runs one block, (B, L, W) -> (B, L, W)."""
        if self.checkpointing and torch.is_grad_enabled():
            return checkpoint(block, x, attn_mask=attn_mask, use_reentrant=False)
        return block(x, attn_mask=attn_mask)


def one_way_mask(num_readable: int, num_tokens: int, like: Tensor) -> Tensor:
    """Additive attention mask (R + S, R + S) under which the S selection tokens see the R image positions in front of them
    but not vice versa, so that the backbone's own stream is unchanged.
    """
    mask = torch.zeros(num_readable + num_tokens, num_readable + num_tokens, device=like.device, dtype=like.dtype)
    mask[:num_readable, num_readable:] = float("-inf")
    return mask

"""The one seam between E2 and an image tower: everything E2 needs to know of a backbone's ViT.

Counts, widths and grids are read from the tower, never assumed. Other tower families (timm) need one more class here.
"""

import open_clip.transformer
import torch
from torch import Tensor, nn

from e2.errors import InputError


class NativeTower:
    """A view of open_clip's own ``VisionTransformer``; it holds no parameters itself.

    Attributes:
        width: W, channels of the residual stream.
        output_dim: D, width of the embedding.
        grid: (rows, columns) of the patch grid; N = rows * columns.
        num_prefix_tokens: tokens in front of the patches (the class token).
        blocks: the transformer blocks, each called as ``block(x, attn_mask=mask)``.
    """

    num_prefix_tokens = 1

    def __init__(self, visual: open_clip.transformer.VisionTransformer):
        if visual.attn_pool is not None or visual.proj is None or not visual.transformer.batch_first:
            raise InputError("this image tower pools by attention, which E2 cannot read yet; choose a ViT such as ViT-B-32")
        self.visual = visual
        self.width = visual.conv1.out_channels
        self.output_dim = visual.output_dim
        self.grid = tuple(visual.grid_size)
        self.blocks = visual.transformer.resblocks

    @property
    def num_patches(self) -> int:
        return self.grid[0] * self.grid[1]

    @property
    def norm(self) -> nn.LayerNorm:
        """The norm in front of the projection; region norms start from it."""
        return self.visual.ln_post

    @property
    def proj(self) -> Tensor:
        """The backbone's own projection, (W, D); region projections start from it."""
        return self.visual.proj

    def embed(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, P + N, W): class token and patches with positions, after ``ln_pre``."""
        return self.visual._embeds(images)

    def embed_with(self, images: Tensor, tokens: Tensor) -> Tensor:
        """(B, 3, H, W), (S, W) -> (B, S + P + N, W): tokens without positions in front, all through ``ln_pre``.

        ``ln_pre`` works row by row, so norming the tokens apart gives what norming the whole sequence gives.
        """
        stream = self.embed(images)
        tokens = self.visual.ln_pre(tokens).to(stream.dtype).expand(len(images), -1, -1)
        return torch.cat([tokens, stream], dim=1)

    def pool(self, x: Tensor) -> Tensor:
        """(B, P + N, W) -> (B, D): the backbone's own pooling, norm and projection."""
        pooled, _ = self.visual._pool(x)
        return pooled @ self.proj


def open_tower(visual: nn.Module) -> NativeTower:
    """The view of a backbone's image tower.

    Raises:
        InputError: the tower is no ViT that E2 can read.
    """
    if isinstance(visual, open_clip.transformer.VisionTransformer):
        return NativeTower(visual)
    raise InputError(
        f"image tower {type(visual).__name__} is not supported; choose an open_clip-native ViT such as ViT-B-32 or e2-nano"
    )


def one_way_mask(num_readable: int, num_tokens: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    """Additive attention mask (R + S, R + S): the first R positions do not see the S selection tokens behind them.

    Selection tokens see everything. This keeps the backbone's own stream exactly what it was.
    """
    length = num_readable + num_tokens
    mask = torch.zeros(length, length, device=device, dtype=dtype)
    mask[:num_readable, num_readable:] = float("-inf")
    return mask

"""open_clip's own ``VisionTransformer`` behind the tower seam (CLIP, OpenCLIP, FashionCLIP, our own backbones)."""

from collections.abc import Sequence

import open_clip.transformer
from torch import Tensor, nn

from e2.errors import InputError
from e2.tower import Tower


class NativeTower(Tower):
    """A view of open_clip's own ViT; pools by class token or mean."""

    num_prefix_tokens = 1

    def __init__(self, visual: open_clip.transformer.VisionTransformer):
        batch_first = getattr(visual.transformer, "batch_first", True)  # from version 4 on open_clip knows nothing else
        if visual.attn_pool is not None or visual.proj is None or not batch_first:
            raise InputError("this image tower pools by attention (CoCa), which E2 cannot read; choose a ViT such as ViT-B-32")
        if visual.pool_type == "none":
            raise InputError("this image tower pools nothing and so has no embedding; choose a ViT such as ViT-B-32")
        self.visual = visual
        self.width = visual.conv1.out_channels
        self.output_dim = visual.output_dim
        self.grid = tuple(visual.grid_size)
        self.patch_size = min(visual.patch_size)
        self.pools_class_token = visual.pool_type == "tok"
        self.blocks = visual.transformer.resblocks
        self.checkpointing = visual.transformer.grad_checkpointing

    @property
    def norm(self) -> nn.Module:
        return self.visual.ln_post

    @property
    def proj(self) -> Tensor:
        return self.visual.proj

    def embed(self, images: Tensor) -> Tensor:
        return self.visual._embeds(images)

    def norm_tokens(self, tokens: Tensor) -> Tensor:
        return self.visual.ln_pre(tokens)

    @property
    def pool_parts(self) -> Sequence[nn.Module]:
        return [self.visual.ln_post]

    @property
    def projection_parts(self) -> Sequence[nn.Parameter]:
        return [self.visual.proj]

    def pooled(self, x: Tensor) -> Tensor:
        return self.visual._pool(x)[0]

    def project(self, pooled: Tensor) -> Tensor:
        return pooled @ self.proj

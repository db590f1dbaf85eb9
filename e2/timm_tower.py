"""Adapts timm's ``VisionTransformer`` in open_clip's ``TimmModel`` to `Tower`: SigLIP, SigLIP 2, Marqo-FashionSigLIP.

SigLIP has no class token: a learned query attends over the patches (a ``map`` pool) and its output takes the class token's
place. Selection tokens join the patches before the pool and read them one-way in the blocks, as in every tower. The backbone's
own pool summarises an entity's tokens, so that the summaries share the space of the pooled photo, to which their gated sum is
added. The pool never sees tokens and patches together: a softmax over both would change the photo's embedding before any
training.
"""

from collections.abc import Sequence
from functools import reduce

import torch
from open_clip.timm_model import TimmModel
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from e2.errors import InputError
from e2.tower import Tower

POOLS = ("token", "avg", "avgmax", "max", "map")
OWN_STEPS = ("forward", "forward_features", "pool", "forward_head")  # a subclass may compute something else


class TimmTower(Tower):
    """View of a timm ViT."""

    def __init__(self, visual: TimmModel):
        trunk = visual.trunk
        plain = isinstance(trunk, VisionTransformer) and all(
            getattr(type(trunk), step) is getattr(VisionTransformer, step) for step in OWN_STEPS
        )
        if not plain or trunk.global_pool not in POOLS:
            raise InputError(
                f"image tower {type(trunk).__name__} of timm is not supported; choose a plain ViT that pools by class token, "
                "mean or attention, such as ViT-B-16-SigLIP"
            )
        self.visual, self.trunk = visual, trunk
        self.linears = _linear_layers([trunk.head, *visual.head])
        self.width = trunk.embed_dim
        self.output_dim = self.linears[-1].out_features if self.linears else trunk.embed_dim
        self.grid = tuple(trunk.patch_embed.grid_size)
        self.patch_size = min(trunk.patch_embed.patch_size)
        self.num_prefix_tokens = trunk.num_prefix_tokens
        self.pools_class_token = trunk.global_pool == "token"
        self.blocks = trunk.blocks
        self.checkpointing = trunk.grad_checkpointing

    @property
    def norm(self) -> nn.Module:
        return self.trunk.norm if isinstance(self.trunk.fc_norm, nn.Identity) else self.trunk.fc_norm

    @property
    def proj(self) -> Tensor:
        """(W, D); the identity if the pooled output is the embedding (SigLIP)."""
        identity = torch.eye(self.width, device=self.trunk.patch_embed.proj.weight.device)
        return reduce(lambda x, linear: x @ linear.weight.mT, self.linears, identity)

    def embed(self, images: Tensor) -> Tensor:
        trunk = self.trunk
        return trunk.norm_pre(trunk.patch_drop(trunk._pos_embed(trunk.patch_embed(images))))

    def norm_tokens(self, tokens: Tensor) -> Tensor:
        return self.trunk.norm_pre(tokens)

    def merge(self, tokens: Tensor) -> Tensor:
        return super().merge(tokens) if self.trunk.attn_pool is None else self.trunk.attn_pool(tokens)

    @property
    def pool_parts(self) -> Sequence[nn.Module]:
        trunk = self.trunk
        return [trunk.norm] if trunk.attn_pool is None else [trunk.norm, trunk.attn_pool]

    @property
    def projection_parts(self) -> Sequence[nn.Module]:
        return [self.trunk.fc_norm, self.trunk.head, self.visual.head]

    def pooled(self, x: Tensor) -> Tensor:
        return self.trunk.pool(self.trunk.norm(x))

    def project(self, pooled: Tensor) -> Tensor:
        trunk = self.trunk
        return self.visual.head(trunk.head(trunk.head_drop(trunk.fc_norm(pooled))))


def _linear_layers(head: list[nn.Module]) -> list[nn.Linear]:
    """Linear layers of a head that otherwise holds only dropout."""
    passing = (nn.Identity, nn.Dropout)
    for layer in head:
        if not isinstance(layer, (nn.Linear, *passing)):
            raise InputError(f"image tower with a {type(layer).__name__} head is not supported; choose one with a linear head")
    return [layer for layer in head if isinstance(layer, nn.Linear)]

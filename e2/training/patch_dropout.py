"""Patch dropout (FLIP, Li et al., CVPR 2023): a step's blocks see a part of each photo's patches, and take less time."""

import torch
from torch import Tensor

from e2.errors import InputError
from e2.model import E2
from e2.paper import PaperReader
from e2.towers import open_tower


def draw_patches(photos: int, patches: int, share: float, device: torch.device) -> Tensor:
    """Draws the patches that each photo keeps, all but a share of them and at least one: (B, K), as open_clip does."""
    kept = max(1, int(patches * (1 - share)))
    return torch.randn(photos, patches, device=device).topk(kept, dim=-1).indices


def require_patches(model: E2) -> None:
    """Refuses a model whose patches cannot be left out.

    Raises:
        InputError: no ViT, the published layout, or a tower that drops patches by itself.
    """
    try:
        open_tower(model.visual)
    except InputError as error:
        raise InputError(f"optim.patch_dropout: {error}") from error
    if isinstance(model.reader, PaperReader):
        raise InputError(
            "optim.patch_dropout: the published layout (model.reader=paper) reads all patches; leave one of them out"
        )
    if any(type(part).__name__ == "PatchDropout" for part in model.visual.modules()):  # open_clip's or timm's
        raise InputError("optim.patch_dropout: the backbone's own configuration drops patches already; leave the setting out")

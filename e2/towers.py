"""Opens the view that fits an image tower: open_clip's own ViTs or timm's."""

import open_clip.transformer
from open_clip.timm_model import TimmModel
from torch import nn

from e2.errors import InputError
from e2.native_tower import NativeTower
from e2.timm_tower import TimmTower
from e2.tower import Tower


def open_tower(visual: nn.Module) -> Tower:
    """Returns the view of a backbone's image tower."""
    if isinstance(visual, open_clip.transformer.VisionTransformer):
        return NativeTower(visual)
    if isinstance(visual, TimmModel):
        return TimmTower(visual)
    raise InputError(
        f"image tower {type(visual).__name__} is not supported; choose a ViT such as ViT-B-32, a SigLIP or e2-nano"
    )

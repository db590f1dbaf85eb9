"""Making and loading E2 models, in the manner of ``open_clip.create_model_and_transforms``."""

from collections.abc import Callable, Sequence
from typing import Any

import open_clip

from e2.backbones import create_backbone
from e2.config import ModelConfig, from_dict
from e2.data.transforms import training_transform
from e2.model import E2


def create_model_and_transforms(
    backbone: str,
    pretrained: str | None = None,
    tags: Sequence[str] = (),
    *,
    augment: str = "light",
    backbone_options: dict[str, Any] | None = None,
    **options: Any,
) -> tuple[E2, Callable, Callable]:
    """A model with E2's selection tokens over an open_clip backbone.

    Args:
        backbone: ``e2-nano``, ``e2-tiny``, ``e2-small`` or any open_clip model whose image tower is a ViT.
        pretrained: an open_clip weights tag or a local file; None = random weights.
        tags: the entities, e.g. ``("brand", "season")``; none = the plain backbone.
        augment: of the training transform: none, light or strong.
        backbone_options: passed on to open_clip, e.g. ``{"force_image_size": 96}``.
        options: fields of :class:`e2.config.ModelConfig`, e.g. ``tokens=4`` or ``selector="soft"``.

    Returns:
        model, training transform, evaluation transform.

    Raises:
        InputError: an unknown name or option, or weights that do not fit.

    Example:
        >>> model, preprocess_train, preprocess_val = create_model_and_transforms("e2-nano", tags=("brand", "season"))
        >>> model.tags
        ('brand', 'season')
    """
    config = from_dict(ModelConfig, {"tags": list(dict.fromkeys(tags)), **options}, "model")
    clip, preprocess_val = create_backbone(backbone, pretrained, **(backbone_options or {}))
    return E2(clip, config), training_transform(clip.visual, augment), preprocess_val


def get_tokenizer(backbone: str) -> Callable:
    """The backbone's tokenizer."""
    return open_clip.get_tokenizer(backbone)

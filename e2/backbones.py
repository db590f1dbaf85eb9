"""Making the open_clip backbone: our own small configurations beside open_clip's, weights by tag or from a file."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import open_clip
from torch import nn

from e2.errors import InputError

CONFIGS = Path(__file__).parent / "model_configs"


def own_backbones() -> list[str]:
    """Names of our own small configurations."""
    return sorted(path.stem for path in CONFIGS.glob("*.json"))


def register_backbones() -> None:
    """Makes our configurations known to open_clip (through its own mechanism)."""
    open_clip.add_model_config(CONFIGS)


def create_backbone(name: str, pretrained: str | None = None, **options: Any) -> tuple[nn.Module, Callable]:
    """An open_clip model with its evaluation transform.

    Args:
        name: an open_clip model name, one of our own, or ``local-dir:`` / ``hf-hub:`` as open_clip takes them.
        pretrained: an open_clip tag (may download) or a local weights file; None = random weights.
        options: passed on to ``open_clip.create_model_and_transforms``.

    Raises:
        InputError: unknown name or tag, or a weights file that does not fit.
    """
    register_backbones()
    if ":" not in name and name not in open_clip.list_models():
        near = [model for model in open_clip.list_models() if model.lower()[:5] == name.lower()[:5]][:5]
        hint = ", ".join([*own_backbones(), *(near or ["ViT-B-32", "ViT-B-16"])])
        raise InputError(f"unknown backbone {name!r}; choose for example {hint}")
    if pretrained and not Path(pretrained).exists() and ":" not in name:
        tags = open_clip.list_pretrained_tags_by_model(name)
        if pretrained not in tags:
            raise InputError(
                f"{pretrained!r} is neither a file nor a weights tag of {name}; tags: {', '.join(tags) or 'none'}"
            )
    if name in own_backbones():
        # Product photos vary in shape and nothing at the border may get lost: our own backbones see the whole photo.
        options = {"image_resize_mode": "squash", **options}
    try:
        model, _, preprocess = open_clip.create_model_and_transforms(name, pretrained, **options)
    except (RuntimeError, OSError, KeyError, ValueError) as error:
        raise InputError(f"cannot load backbone {name} with weights {pretrained}: {_first_line(error)}") from error
    return model, preprocess


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]

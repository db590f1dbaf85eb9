"""Named starting points of a training run; any setting may still be overridden."""

from typing import Any

from e2.errors import require_choice

# The authors' recipe: five epochs for the new parameters alone, then twenty for all, Adam 5e-4 / 5e-5, losses 0.5 / 0.5,
# noise at evaluation, the same tag in a batch a negative, logit scale never clamped.
PAPER = {
    "model": {"reader": "paper"},
    "loss": {
        "global_weight": 0.5,
        "region_weight": 0.5,
        "image_tag_weight": 0.0,
        "same_tag_positive": False,
        "centre_tags": False,
        "tag_scale": None,
        "max_logit_scale": None,
    },
    "optim": {
        "lr": 5e-5,
        "new_lr": 5e-4,
        "weight_decay": 1e-4,
        "betas": [0.9, 0.999],
        "new_only": 0.2,
        "warmup": 0.005,
    },
    "data": {"text": "full", "batch_size": 64},
}

# Public models as a whole on one GPU, with weights from the hub; rates are the defaults of pre-trained weights.
ONE_GPU = {"precision": "bf16", "data": {"batch_size": 512, "chunk_size": 128, "workers": 8}}

PRESETS: dict[str, dict[str, Any]] = {
    "default": {},
    "paper": PAPER,
    "clip-b16-openai": {"backbone": "ViT-B-16-quickgelu", "pretrained": "openai", **ONE_GPU},
    "siglip2-b16": {"backbone": "ViT-B-16-SigLIP2", "pretrained": "webli", **ONE_GPU},
}


def preset(name: str) -> dict[str, Any]:
    """Settings of a preset that differ from the defaults."""
    require_choice("preset", name, PRESETS)
    return PRESETS[name]

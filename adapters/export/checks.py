"""Checks shared by all exports: samples, comparison with PyTorch, tolerance and record."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from e2.adapters.encoder import Encoder
from e2.adapters.export.record import Exported
from e2.backbone_sources import PAIR
from e2.errors import InputError

TOLERANCE = 1e-4  # largest allowed deviation of a unit vector's component from PyTorch's
CHECK_SEED = 0
SAMPLE_TEXTS = ("a red dress", "Nike men's 100% cotton tee, grey & blue", "a", "long " * 100)
FOLDERS = re.compile(r"(?<![^:@])/(?:.*/)?(?=.)")  # local path in a name such as local-dir:/srv/models/clip
PHOTO_RULE = ("size", "mean", "std", "interpolation", "resize_mode", "fill_color")


def describe(encoder: Encoder, format: str, deviation: float, further: dict[str, Any]) -> Exported:
    """Builds the record of an encoder's export."""
    model = encoder.model
    return Exported(
        format=format,
        source={
            **{name: without_folders(str(value)) for name, value in encoder.info.items()},
            "path": Path(str(encoder.info["path"])).name,
        },
        largest_deviation=deviation,
        tags=list(encoder.tags),
        embed_dim=model.clip.encode_text(encoder.tokenizer(["a"]).to(encoder.device)).shape[-1],
        context_length=model.context_length,
        logit_scale=model.logit_scale.exp().item(),
        further=further,
        loss=encoder.loss,
        taught=list(encoder.taught),
    )


def without_folders(name: str) -> str:
    """A backbone's name without the folders that local paths in it lie in."""
    return "+".join(FOLDERS.sub("", half) for half in name.split("+")) if name.startswith(PAIR) else FOLDERS.sub("", name)


def photo_rule(encoder: Encoder) -> dict[str, Any]:
    """Preprocessing of photos: ``size`` (height, width), ``mean``, ``std``, ``interpolation``, ``resize_mode``."""
    rule = dict(encoder.model.visual.preprocess_cfg)
    size = rule["size"]
    return {name: rule[name] for name in PHOTO_RULE if name in rule} | {
        "size": [size, size] if isinstance(size, int) else list(size)
    }


def sample_pixels(encoder: Encoder, count: int) -> Tensor:
    """Makes noise as input for any tower, always the same: (count, 3, H, W)."""
    generator = torch.Generator().manual_seed(CHECK_SEED)
    return torch.randn(count, 3, *photo_rule(encoder)["size"], generator=generator)


def sample_tokens(encoder: Encoder) -> Tensor:
    """Tokenises short texts and one that is cut: (4, L)."""
    return encoder.tokenizer(list(SAMPLE_TEXTS))


def largest_deviation(pairs: Iterable[tuple[Any, Any]]) -> float:
    """Largest deviation over (ours, theirs) of the same shape."""
    found = [np.abs(np.asarray(a) - np.asarray(b)).max(initial=0.0) for a, b in pairs]
    deviation = float(np.max(found))
    if not deviation <= TOLERANCE:  # NaN counts as too much
        raise InputError(
            f"the export deviates from PyTorch by {deviation:.1e}, more than {TOLERANCE:.0e}, and was not written; "
            "please report the model's configuration"
        )
    return deviation

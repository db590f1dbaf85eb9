"""Freezes towers by open_clip's own rules, without what they print and with BERT, whose layers they do not find."""

import io
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout

from open_clip.hf_configs import arch_dict
from torch import nn

from e2.foreign import OpenClip

BLOCK = re.compile(r"\.(?:resblocks|blocks|block|layers|layer)\.(\d+)\.")  # a transformer block in the name of a parameter

# Names of the layers and embeddings of text encoders, which open_clip's table lacks.
LAYERS = {
    "bert": {"layer_attr": "layer", "token_embeddings_attr": "embeddings"},
    "m2m_100": {"layer_attr": "layers", "token_embeddings_attr": "embed_tokens"},
}
PROJECTION = "text.text_projection"  # which open_clip freezes with its text towers


def lock_image_tower(clip: OpenClip, unlocked_groups: int, freeze_bn_stats: bool = False) -> None:
    """Freezes the image tower but its last groups; of timm's the projection stays free."""
    with _quietly():
        clip.lock_image_tower(unlocked_groups, freeze_bn_stats)


def lock_text_tower(clip: OpenClip, unlocked_layers: int, freeze_layer_norm: bool = True) -> None:
    """Freezes the text tower but its last layers; a fresh projection and a transformers tower's stay free."""
    for kind, names in LAYERS.items():
        arch_dict[kind]["config_names"].update(names)
    with _quietly():
        clip.lock_text_tower(unlocked_layers, freeze_layer_norm)
    for name, p in fresh_parameters(clip).items():
        if name.startswith(PROJECTION):
            p.requires_grad_(True)


def fresh_parameters(clip: OpenClip) -> dict[str, nn.Parameter]:
    """Parameters, by name, that a backbone's pre-trained weights lack, such as the projection between two towers."""
    origin = getattr(clip, "origin", None)
    return {} if origin is None else {name: clip.get_parameter(name) for name in origin.fresh}


@contextmanager
def _quietly() -> Iterator[None]:
    """Keeps out of sight what open_clip prints, which would spoil results on stdout, and a warning of what it imports."""
    with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore", FutureWarning)
        yield

"""Tiny text towers for the tests: the fixtures' own weights in open_clip, and a SigLIP-like one."""

from pathlib import Path

import numpy as np
import open_clip
import torch

VISION = {"image_size": 16, "patch_size": 8, "width": 16, "layers": 1, "head_width": 8}


def fixture_tower(path: Path) -> open_clip.CLIP:
    """open_clip's native CLIP with the text tower of a fixture (QuickGELU, causal, context 16)."""
    arrays = np.load(path)
    state = {name.removeprefix("sd."): torch.from_numpy(arrays[name]) for name in arrays.files if name.startswith("sd.")}
    vocabulary, width = state["token_embedding.weight"].shape
    text = {"context_length": 16, "vocab_size": vocabulary, "width": width, "heads": int(arrays["heads"]), "layers": 2}
    clip = open_clip.CLIP(embed_dim=48, vision_cfg=VISION, text_cfg=text, quick_gelu=True)
    missing, unexpected = clip.load_state_dict(state, strict=False)
    assert not unexpected and all(name.startswith(("visual", "logit")) for name in missing)
    return clip.eval().requires_grad_(False)


def siglip_like_tower() -> open_clip.CustomTextCLIP:
    """No mask, last token pooled, projection with a bias, as SigLIP's text towers are."""
    text = {"context_length": 16, "vocab_size": 100, "width": 32, "heads": 2, "layers": 2}
    text |= {"no_causal_mask": True, "pool_type": "last", "proj_bias": True}
    torch.manual_seed(0)
    return open_clip.CustomTextCLIP(embed_dim=24, vision_cfg=VISION, text_cfg=text).eval().requires_grad_(False)


def places(tokens: torch.Tensor, placeholder: int) -> torch.Tensor:
    """(B, L) -> (B,) first position of an id: fixtures mark their places by one."""
    return (tokens == placeholder).int().argmax(dim=1)

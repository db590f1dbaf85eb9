"""Converts a plain CLIP to transformers' own ``CLIPModel``: the inverse of ``e2.hf_weights``, with the same table of names.

Only the networks that both libraries build alike are mapped: a ViT with class token and a causal text tower that pools at its
end-of-text token. Hidden differences are found by the comparison that ends every export.
"""

from typing import Any

import open_clip
from open_clip.transformer import QuickGELU, VisionTransformer
from torch import Tensor, nn

from e2.foreign import OpenClip
from e2.hf_weights import NATIVE
from e2.texts import causal_tower

# PyTorch's, or open_clip's own class from version 4 on; variants that scale or norm in between have further ones
PLAIN_ATTENTION = {"in_proj_weight", "in_proj_bias", "out_proj.weight", "out_proj.bias"}
START_OF_TEXT, END_OF_TEXT = 49406, 49407


def maps_onto_clip_model(clip: nn.Module) -> bool:
    """True if transformers' ``CLIPModel`` is the same network."""
    if not (isinstance(clip, open_clip.CLIP) and isinstance(clip.visual, VisionTransformer)):
        return False
    visual, tower = clip.visual, causal_tower(clip)
    height, width = visual.image_size
    plain_blocks = all(
        isinstance(block.ls_1, nn.Identity) and {name for name, _ in block.attn.named_parameters()} == PLAIN_ATTENTION
        for block in [*visual.transformer.resblocks, *clip.transformer.resblocks]
    )
    return (
        plain_blocks
        and tower is not None
        and isinstance(clip.text_projection, Tensor)
        and visual.pool_type == "tok"
        and visual.attn_pool is None
        and not visual.final_ln_after_pool
        and visual.conv1.bias is None
        and not isinstance(visual.ln_pre, nn.Identity)
        and height == width
        and clip.logit_bias is None
    )


def clip_config(clip: open_clip.CLIP) -> dict[str, Any]:
    """Arguments of ``transformers.CLIPConfig``."""
    visual, dim = clip.visual, clip.text_projection.shape[1]
    vision = {
        **_transformer(visual.transformer, visual.ln_post),
        "image_size": visual.image_size[0],
        "patch_size": visual.patch_size[0],
        "projection_dim": dim,
    }
    text = {
        **_transformer(clip.transformer, clip.ln_final),
        "vocab_size": clip.token_embedding.num_embeddings,
        "max_position_embeddings": clip.context_length,
        "projection_dim": dim,
        "bos_token_id": START_OF_TEXT,
        "eos_token_id": END_OF_TEXT,
        "pad_token_id": END_OF_TEXT,
    }
    start = clip.logit_scale.item()
    return {"vision_config": vision, "text_config": text, "projection_dim": dim, "logit_scale_init_value": start}


def _transformer(transformer: OpenClip, norm: nn.LayerNorm) -> dict[str, Any]:
    block = transformer.resblocks[0]
    return {
        "hidden_size": transformer.width,
        "num_hidden_layers": len(transformer.resblocks),
        "num_attention_heads": block.attn.num_heads,
        "intermediate_size": block.mlp.c_fc.out_features,
        "hidden_act": _activation(block.mlp.gelu),
        "layer_norm_eps": norm.eps,
    }


def _activation(layer: nn.Module) -> str:
    if isinstance(layer, QuickGELU):
        return "quick_gelu"
    return "gelu_pytorch_tanh" if getattr(layer, "approximate", "none") == "tanh" else "gelu"


def clip_state(clip: open_clip.CLIP) -> dict[str, Tensor]:
    """Renames the weights to ``CLIPModel``'s names."""
    state = clip.state_dict()
    return {
        "logit_scale": state["logit_scale"],
        "visual_projection.weight": state["visual.proj"].T,
        "text_projection.weight": state["text_projection"].T,
        "vision_model.embeddings.class_embedding": state["visual.class_embedding"],
        "vision_model.embeddings.patch_embedding.weight": state["visual.conv1.weight"],
        "vision_model.embeddings.position_embedding.weight": state["visual.positional_embedding"],
        "text_model.embeddings.token_embedding.weight": state["token_embedding.weight"],
        "text_model.embeddings.position_embedding.weight": state["positional_embedding"],
        **_moved(state, "visual.ln_pre", "vision_model.pre_layrnorm"),  # sic
        **_moved(state, "visual.ln_post", "vision_model.post_layernorm"),
        **_moved(state, "ln_final", "text_model.final_layer_norm"),
        **_blocks(state, "visual.transformer.resblocks", "vision_model", len(clip.visual.transformer.resblocks)),
        **_blocks(state, "transformer.resblocks", "text_model", len(clip.transformer.resblocks)),
    }


def _blocks(state: dict[str, Tensor], source: str, target: str, count: int) -> dict[str, Tensor]:
    blocks = {}
    for layer in range(count):
        old, new = f"{source}.{layer}", f"{target}.encoder.layers.{layer}"
        for part in ("weight", "bias"):
            for theirs, ours in NATIVE.items():
                tensor = state[f"{old}.{ours.format(part=part)}"]
                if theirs == "qkv":
                    for name, third in zip("qkv", tensor.chunk(3), strict=True):
                        blocks[f"{new}.self_attn.{name}_proj.{part}"] = third
                else:
                    blocks[f"{new}.{theirs}.{part}"] = tensor
    return blocks


def _moved(state: dict[str, Tensor], source: str, target: str) -> dict[str, Tensor]:
    return {f"{target}.{part}": state[f"{source}.{part}"] for part in ("weight", "bias")}

"""Converts checkpoints of transformers' ``CLIPModel`` (FashionCLIP) and ``SiglipModel`` to open_clip models.

A checkpoint is a folder with ``config.json`` and ``model.safetensors``. Both libraries build the same networks under other
names, so only names, the query/key/value matrices (stacked in open_clip) and transposed projections change. Activation, norm
epsilon and the end-of-text token are read from the config.

One difference remains: transformers runs SigLIP's image tower with the tanh form of GELU, timm with the exact one, as in all
of open_clip's SigLIP models (features differ by some 1e-3 of their length).
"""

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from e2.errors import InputError

CLIP_VOCABULARY = 49408  # OpenAI's tokenizer, built into open_clip
NATIVE = {  # a transformers layer -> open_clip's block
    "qkv": "attn.in_proj_{part}",
    "self_attn.out_proj": "attn.out_proj.{part}",
    "layer_norm1": "ln_1.{part}",
    "layer_norm2": "ln_2.{part}",
    "mlp.fc1": "mlp.c_fc.{part}",
    "mlp.fc2": "mlp.c_proj.{part}",
}
TIMM = {  # and timm's
    "qkv": "attn.qkv.{part}",
    "self_attn.out_proj": "attn.proj.{part}",
    "layer_norm1": "norm1.{part}",
    "layer_norm2": "norm2.{part}",
    "mlp.fc1": "mlp.fc1.{part}",
    "mlp.fc2": "mlp.fc2.{part}",
}
SIGLIP_TRUNKS = {  # (width, layers, patch size) -> timm's name
    (768, 12, 16): "vit_base_patch16_siglip_224",
    (768, 12, 32): "vit_base_patch32_siglip_256",
    (1024, 24, 16): "vit_large_patch16_siglip_256",
    (1152, 27, 14): "vit_so400m_patch14_siglip_224",
    (1152, 27, 16): "vit_so400m_patch16_siglip_256",
    (1536, 40, 16): "vit_giantopt_patch16_siglip_256",
}
INTERPOLATIONS = {2: "bilinear", 3: "bicubic"}  # PIL's numbers


def is_transformers(folder: str | Path) -> bool:
    """True if a folder holds a transformers CLIP or SigLIP checkpoint."""
    return read_json(Path(folder) / "config.json").get("model_type") in ("clip", "siglip")


def transformers_checkpoint(folder: str | Path) -> Path | None:
    """Folder of a transformers CLIP or SigLIP: the given one or, in a model of sentence-transformers, its first module
    (``0_CLIPModel``); None if there is none.
    """
    found = (place for place in (Path(folder), *sorted(Path(folder).glob("0_*"))) if is_transformers(place))
    return next(found, None)


def open_clip_config(folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The checkpoint's model and preprocessing configuration in open_clip's terms."""
    from transformers import AutoConfig

    try:
        config = AutoConfig.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, TypeError) as error:
        raise InputError(f"{folder}/config.json cannot be read: {str(error).splitlines()[0]}") from error
    model = _clip_config(config, folder) if config.model_type == "clip" else _siglip_config(config, folder)
    return model, _preprocessing(folder, squash=config.model_type == "siglip")


def _clip_config(config: Any, folder: Path) -> dict[str, Any]:
    vision, text = config.vision_config, config.text_config
    if (vision.hidden_act == "quick_gelu") != (text.hidden_act == "quick_gelu"):
        raise InputError(f"{folder}: image and text tower have different activations, which open_clip cannot build")
    # Older configs say 2 where the highest id is meant to end a text (transformers' own rule).
    end = {} if text.eos_token_id == 2 else {"pool_type": "eos", "eos_id": text.eos_token_id}
    return {
        "embed_dim": config.projection_dim,
        "quick_gelu": vision.hidden_act == "quick_gelu",
        "vision_cfg": {
            "image_size": vision.image_size,
            "patch_size": vision.patch_size,
            "head_width": vision.hidden_size // vision.num_attention_heads,
            **_transformer(vision, folder),
        },
        "text_cfg": {**_text(text, folder), **_transformer(text, folder), **end},
    }


def _siglip_config(config: Any, folder: Path) -> dict[str, Any]:
    vision, text = config.vision_config, config.text_config
    size = (vision.hidden_size, vision.num_hidden_layers, vision.patch_size)
    if size not in SIGLIP_TRUNKS:
        raise InputError(f"{folder}: timm has no SigLIP image tower of width, layers and patch size {size}")
    return {
        "embed_dim": text.projection_size or text.hidden_size,
        "init_logit_bias": -10,
        "custom_text": True,
        "vision_cfg": {
            "image_size": vision.image_size,
            "timm_model_name": SIGLIP_TRUNKS[size],
            "timm_model_pretrained": False,
            "timm_pool": "map",
            "timm_proj": "none",
        },
        "text_cfg": {
            **_text(text, folder),
            **_transformer(text, folder),
            "no_causal_mask": True,
            "proj_bias": True,
            "pool_type": "last",
        },
    }


def _text(text: Any, folder: Path) -> dict[str, Any]:
    common = {"context_length": text.max_position_embeddings, "vocab_size": text.vocab_size, "heads": text.num_attention_heads}
    return common if text.vocab_size == CLIP_VOCABULARY else {**common, "hf_tokenizer_name": str(folder)}


def _transformer(tower: Any, folder: Path) -> dict[str, Any]:
    """Sizes, activation and norm of one tower."""
    activations = {"quick_gelu": None, "gelu": None, "gelu_pytorch_tanh": {"approximate": "tanh"}}
    if tower.hidden_act not in activations:
        raise InputError(f"{folder}: activation {tower.hidden_act} is not supported")
    act = activations[tower.hidden_act]
    return {
        "width": tower.hidden_size,
        "layers": tower.num_hidden_layers,
        "mlp_ratio": tower.intermediate_size / tower.hidden_size,
        "norm_kwargs": {"eps": tower.layer_norm_eps},
        **({"act_kwargs": act} if act else {}),
    }


def _preprocessing(folder: Path, squash: bool) -> dict[str, Any]:
    """Reads mean, deviation, interpolation and resizing rule from the checkpoint's image processor, if there is one."""
    found = read_json(folder / "preprocessor_config.json") or read_json(folder / "processor_config.json").get(
        "image_processor", {}
    )
    half = {"mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)} if squash else {}
    size = found.get("size")
    if found:
        squash = not found.get("do_center_crop") and not (isinstance(size, dict) and "shortest_edge" in size)
    chosen = {"mean": found.get("image_mean"), "std": found.get("image_std")}
    return {
        "interpolation": INTERPOLATIONS.get(found.get("resample", -1), "bicubic"),
        "resize_mode": "squash" if squash else "shortest",
        **half,
        **{name: tuple(value) for name, value in chosen.items() if value},
    }


def open_clip_state(folder: Path, state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Returns the checkpoint's weights under open_clip's names."""
    state = {name: tensor for name, tensor in state.items() if not name.endswith("position_ids")}
    try:
        renamed = _siglip_state(state) if "logit_bias" in state else _clip_state(state)
    except KeyError as error:
        raise InputError(f"{folder} is not a complete CLIP or SigLIP of transformers: it lacks {error.args[0]}") from error
    if state:
        raise InputError(f"{folder} holds weights that no CLIP has, e.g. {next(iter(state))}; merge or remove them first")
    return renamed


def _clip_state(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {
        "logit_scale": state.pop("logit_scale"),
        "visual.proj": state.pop("visual_projection.weight").T,
        "text_projection": state.pop("text_projection.weight").T,
        "visual.class_embedding": state.pop("vision_model.embeddings.class_embedding").flatten(),
        "visual.conv1.weight": state.pop("vision_model.embeddings.patch_embedding.weight"),
        "visual.positional_embedding": state.pop("vision_model.embeddings.position_embedding.weight"),
        **_moved(state, "vision_model.pre_layrnorm", "visual.ln_pre"),  # sic
        **_moved(state, "vision_model.post_layernorm", "visual.ln_post"),
        **_blocks(state, "vision_model", "visual.transformer.resblocks", NATIVE),
        **_text_state(state, ""),
    }


def _siglip_state(state: dict[str, Tensor]) -> dict[str, Tensor]:
    pool, head = "visual.trunk.attn_pool", "vision_model.head"
    stacked = {part: state.pop(f"{head}.attention.in_proj_{part}") for part in ("weight", "bias")}
    query = {part: len(tensor) // 3 for part, tensor in stacked.items()}
    return {
        "logit_scale": state.pop("logit_scale"),
        "logit_bias": state.pop("logit_bias"),
        **_moved(state, "vision_model.embeddings.patch_embedding", "visual.trunk.patch_embed.proj"),
        "visual.trunk.pos_embed": state.pop("vision_model.embeddings.position_embedding.weight").unsqueeze(0),
        **_blocks(state, "vision_model", "visual.trunk.blocks", TIMM),
        **_moved(state, "vision_model.post_layernorm", "visual.trunk.norm"),
        f"{pool}.latent": state.pop(f"{head}.probe"),
        **{f"{pool}.q.{part}": tensor[: query[part]] for part, tensor in stacked.items()},
        **{f"{pool}.kv.{part}": tensor[query[part] :] for part, tensor in stacked.items()},
        **_moved(state, f"{head}.attention.out_proj", f"{pool}.proj"),
        **_moved(state, f"{head}.layernorm", f"{pool}.norm"),
        **_moved(state, f"{head}.mlp.fc1", f"{pool}.mlp.fc1"),
        **_moved(state, f"{head}.mlp.fc2", f"{pool}.mlp.fc2"),
        **_moved(state, "text_model.head", "text.text_projection"),
        **_text_state(state, "text."),
    }


def _text_state(state: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {
        f"{prefix}token_embedding.weight": state.pop("text_model.embeddings.token_embedding.weight"),
        f"{prefix}positional_embedding": state.pop("text_model.embeddings.position_embedding.weight"),
        **_moved(state, "text_model.final_layer_norm", f"{prefix}ln_final"),
        **_blocks(state, "text_model", f"{prefix}transformer.resblocks", NATIVE),
    }


def _blocks(state: dict[str, Tensor], source: str, target: str, names: dict[str, str]) -> dict[str, Tensor]:
    """Renames all transformer blocks of a tower."""
    blocks: dict[str, Tensor] = {}
    layer = 0
    while f"{source}.encoder.layers.{layer}.layer_norm1.weight" in state:
        old = f"{source}.encoder.layers.{layer}"
        for part in ("weight", "bias"):
            state[f"{old}.qkv.{part}"] = torch.cat([state.pop(f"{old}.self_attn.{name}_proj.{part}") for name in "qkv"])
            for name, place in names.items():
                blocks[f"{target}.{layer}.{place.format(part=part)}"] = state.pop(f"{old}.{name}.{part}")
        layer += 1
    return blocks


def _moved(state: dict[str, Tensor], source: str, target: str) -> dict[str, Tensor]:
    """Renames weight and bias of one layer."""
    return {f"{target}.{part}": state.pop(f"{source}.{part}") for part in ("weight", "bias")}


def read_json(path: Path) -> dict[str, Any]:
    """Reads a JSON file; returns an empty dict if it is missing or not a JSON object."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}

"""Builds the parts of an :class:`~e2.adapters.encoder.Encoder` by its name: model, transform, tokenizer and origin."""

from pathlib import Path
from typing import Any

import torch

import e2
from e2.adapters.export.onnx_encoder import ENDINGS, load_onnx
from e2.backbone_sources import PLACES
from e2.checkpoint import read_config, tensors_sha256, weights_sha256
from e2.hf_weights import transformers_checkpoint
from e2.hub import hub_config
from e2.named import require_encoder
from e2.outputs import restore

TEACH_REGIONS = ("e2",)  # methods that contrast tags with regions
TEACH_IMAGES = ("multifield", "multifield-pooled", "clip-lite", "ei-clip")  # methods that contrast them with images alone
RANDOM_SEED = 0  # seed of models requested without weights


def encoder_parts(name: str, options: dict[str, Any]) -> dict[str, Any]:
    """Arguments of the encoder named by `load_encoder`; ``options`` are the user's."""
    restore(Path(name.partition(":")[2] or name))
    if name.startswith(tuple(ENDINGS)):
        own = {key: value for key, value in options.items() if key in ("device", "precision", "cache")}
        return load_onnx(name, **own)
    if name.startswith("open_clip:"):
        backbone, _, pretrained = name.removeprefix("open_clip:").partition("/")
        return _open_clip(name, backbone, pretrained or None)
    if name.startswith(PLACES) and not (name.startswith("hf-hub:") and "format" in hub_config(name)):
        return _open_clip(name, name, None)
    if Path(name).is_file() and name.endswith(".safetensors"):  # RUN/last.safetensors instead of the best weights
        return _checkpoint(name)
    require_encoder(name)
    if transformers_checkpoint(name):
        return _open_clip(name, f"transformers:{name}", None)
    return _checkpoint(name)


def _checkpoint(name: str) -> dict[str, Any]:
    """Loads an E2 checkpoint from a folder or the hub."""
    model, preprocess, tokenizer = e2.load(name)
    folder = Path(name)
    if name.startswith("hf-hub:"):
        from huggingface_hub import snapshot_download

        folder = Path(snapshot_download(name.removeprefix("hf-hub:"), local_files_only=True))  # which was just loaded
    config = read_config(folder)
    info = {"path": name, "weights_sha256": weights_sha256(folder), "backbone": config["backbone"], "method": config["method"]}
    training = config["training"] if isinstance(config["training"], dict) else {}  # may lack loss and data
    loss, data, optim = (found if isinstance(found := training.get(part), dict) else {} for part in ("loss", "data", "optim"))
    tags = model.tags if config["method"] in TEACH_REGIONS else ()
    taught = data.get("tags", ()) if config["method"] in TEACH_IMAGES else tags
    parts = {"model": model, "preprocess": preprocess, "tokenizer": tokenizer, "info": info, "loss": loss}
    return {**parts, "tags": tags, "taught": taught, "trained_groups": optim.get("image_layers") or 0}


def _open_clip(name: str, backbone: str, pretrained: str | None) -> dict[str, Any]:
    """Loads any open_clip model; an E2 without entities is the plain backbone."""
    with torch.random.fork_rng():
        torch.manual_seed(RANDOM_SEED)
        model, _, preprocess = e2.create_model_and_transforms(backbone, pretrained)
    info = {
        "path": name,
        "weights_sha256": tensors_sha256(model.clip.state_dict()),
        "backbone": backbone,
        "method": "open_clip",
        "weights": pretrained or name if model.clip.origin.pretrained else f"random, seed {RANDOM_SEED}",
    }
    tokenizer = e2.get_tokenizer(backbone, pretrained)
    return {"model": model, "preprocess": preprocess, "tokenizer": tokenizer, "info": info}

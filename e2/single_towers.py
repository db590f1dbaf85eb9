"""Finds single towers, which are half a backbone: image towers of timm and text encoders of transformers."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import timm
from open_clip.hf_configs import arch_dict
from torch import Tensor

from e2.backbone_build import FOREIGN
from e2.backbone_sources import TRANSFORMERS, BackboneSource
from e2.errors import InputError, first_line
from e2.hf_weights import read_json
from e2.hub import HUB, hub_config, hub_folder
from e2.weights import Weights, read_tensors, weights_file

TIMM = "timm:"
IMAGE_SIZE = 224  # pixels; towers made for more, such as DINOv2's for 518, are slow, and --image-size says otherwise
CONTEXT = 77  # tokens, as in CLIP


def timm_tower(name: str, pretrained: str | None) -> BackboneSource:
    """Finds an image tower of timm, with a fresh linear layer for its projection.

    ``timm:MODEL`` has random weights, ``timm:MODEL.TAG`` timm's own (may download); ``pretrained`` names a file or folder.
    """
    model, _, tag = name.removeprefix(TIMM).partition(".")
    if not timm.is_model(model):
        near = ", ".join(timm.list_models(f"{model.split('_patch')[0]}*")[:5]) or "vit_small_patch14_dinov2"
        raise InputError(f"timm has no image tower {model!r}; choose for example {near}")
    tags = [entry.partition(".")[2] for entry in timm.list_pretrained(f"{model}.*")]
    if tag and tag not in tags:
        raise InputError(f"timm has no weights {tag!r} of {model}; tags: {', '.join(tags) or 'none'}")
    known = timm.get_pretrained_cfg(f"{model}.{tag}" if tag else model, allow_unregistered=True)
    seen = {} if known is None else {key: getattr(known, key) for key in ("mean", "std", "interpolation")}
    size = IMAGE_SIZE if known is None else min(IMAGE_SIZE, known.input_size[-1])
    vision = {"timm_model_name": model, "timm_pool": "", "timm_proj": "linear", "image_size": size}
    weights = partial(_timm_weights, model, tag, pretrained) if tag or pretrained else None
    return BackboneSource(name, {"vision_cfg": vision}, seen, weights, pretrained or name)


def _timm_weights(model: str, tag: str, pretrained: str | None) -> Weights:
    """Reads weights through timm, which knows their many formats, at the size they were trained at."""
    named = f"{model}.{tag}" if tag else model
    options: dict[str, Any] = {}
    if pretrained is not None:
        tensors = {name: tensor for name, tensor in read_tensors(weights_file(Path(pretrained))).items() if not _head(name)}
        options = {"num_classes": 0, "pretrained_cfg_overlay": {"state_dict": tensors, "num_classes": 0, "source": ""}}
    try:
        trunk = timm.create_model(named, pretrained=True, **options)
    except FOREIGN as error:
        raise InputError(f"{pretrained or 'timm'} has no weights for {named}: {first_line(error)}") from error
    return Weights({f"visual.trunk.{name}": tensor for name, tensor in trunk.state_dict().items() if not _head(name)})


def _head(name: str) -> bool:
    """True for a classifier's tensors, which a tower leaves behind."""
    return name.startswith(("head.", "head_dist."))


def text_encoder_folder(name: str) -> Path | None:
    """Folder of the text encoder that a ``transformers:`` or ``hf-hub:`` name refers to (may download); None for others."""
    folder = Path(name.removeprefix(TRANSFORMERS))
    if name.startswith(TRANSFORMERS) and read_json(folder / "config.json").get("model_type") not in ("clip", "siglip", None):
        return folder
    if name.startswith(HUB) and hub_config(name).get("model_type") not in ("clip", "siglip", None):
        return hub_folder(name)
    return None


def text_encoder(name: str, folder: Path) -> BackboneSource:
    """Finds a text encoder of transformers, with a fresh linear layer for its projection.

    It pools by the mean of its tokens, unless it is a folder of sentence-transformers that says otherwise.
    """
    config = read_json(folder / "config.json")
    if config.get("model_type") not in arch_dict:
        known = ", ".join(sorted(arch_dict))
        raise InputError(f"{name}: open_clip has no text towers of type {config.get('model_type')}, but of {known}")
    by_class = read_json(folder / "1_Pooling" / "config.json").get("pooling_mode_cls_token")
    text = {
        "hf_model_name": str(folder.absolute()),
        "hf_tokenizer_name": str(folder.absolute()),
        "hf_model_pretrained": False,
        "hf_pooler_type": "cls_last_hidden_state_pooler" if by_class else "mean_pooler",
        "hf_proj_type": "linear",
        "context_length": min(CONTEXT, config.get("max_position_embeddings") or CONTEXT),
    }
    stored = any(folder.glob("*.safetensors")) or any(folder.glob("pytorch_model*.bin"))
    weights = partial(_transformers_weights, folder) if stored else None
    return BackboneSource(name, {"text_cfg": text}, weights=weights, place=str(folder))


def _transformers_weights(folder: Path) -> Weights:
    """Reads weights through transformers, which knows under what names they may be stored."""
    from transformers import AutoConfig, AutoModel

    try:
        config = AutoConfig.from_pretrained(folder, local_files_only=True)
        both = getattr(config, "is_encoder_decoder", False)
        parts = {} if both else {"add_pooling_layer": False}
        with _quietly():
            model, found = AutoModel.from_pretrained(folder, local_files_only=True, output_loading_info=True, **parts)
    except FOREIGN as error:
        raise InputError(f"{folder} cannot be read as a text encoder: {first_line(error)}") from error
    if missing := sorted(found["missing_keys"]):
        raise InputError(
            f"{folder} is not a complete text encoder: it lacks {missing[0]} and {len(missing) - 1} other tensors"
        )
    state: dict[str, Tensor] = (model.encoder if both else model).state_dict()
    return Weights({f"text.transformer.{name}": tensor for name, tensor in state.items()})


@contextmanager
def _quietly() -> Iterator[None]:
    """Silences transformers' progress bar and its report of weights left over, such as a pooler's."""
    from transformers.utils import logging

    level, bar = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bar:
            logging.enable_progress_bar()

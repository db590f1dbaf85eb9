"""Exports an encoder as a plain open_clip folder: ``open_clip_config.json`` and ``open_clip_model.safetensors``.

open_clip cannot hold selection tokens. Models trained by plain methods are written exactly; of an E2, whose image embedding
uses its reader, only the backbone can be written, on request.
"""

import json
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import open_clip
import timm
import torch
from open_clip.tokenizer import HFTokenizer
from safetensors.torch import save_file
from torch import Tensor

from e2.adapters.encoder import Encoder
from e2.adapters.export.checks import SAMPLE_TEXTS, describe, largest_deviation, photo_rule, sample_pixels, sample_tokens
from e2.adapters.export.photo_files import save_preprocessing
from e2.adapters.export.record import Exported
from e2.checkpoint import weights_of
from e2.errors import InputError
from e2.model import E2
from e2.weights import FRESH

CONFIG, WEIGHTS = "open_clip_config.json", "open_clip_model.safetensors"
PREPROCESS = ("mean", "std", "interpolation", "resize_mode")  # what open_clip itself writes; the model holds the size


def write_open_clip(encoder: Encoder, folder: Path, *, backbone_only: bool = False) -> Exported:
    """Writes the folder and reloads it with open_clip to compare.

    Args:
        backbone_only: for an E2, write the towers without the reader.

    Raises:
        InputError: an E2 without ``backbone_only``, a size open_clip cannot build, or open_clip computes something else.
    """
    model = encoder.model.to("cpu").eval()
    if model.reader is not None and not backbone_only:
        raise InputError(
            "open_clip has no place for the selection tokens that this model's image embedding goes through; use --format "
            "transformers or onnx, or --backbone-only (without the tokens; --data measures what that costs)"
        )
    _check_size(model)
    tensors = {name: tensor for name, tensor in weights_of(model).items() if name in model.clip.state_dict()}
    untrained = {FRESH: ",".join(model.clip.origin.fresh)} if model.clip.origin.fresh else {}
    save_file({name: tensor.clone() for name, tensor in tensors.items()}, folder / WEIGHTS, {"format": "pt", **untrained})
    rule = photo_rule(encoder)
    config = {"model_cfg": model_config(model), "preprocess_cfg": {name: rule[name] for name in PREPROCESS if name in rule}}
    (folder / CONFIG).write_text(json.dumps(config, indent=2) + "\n")
    save_preprocessing(rule, encoder.preprocess, folder)
    if isinstance(encoder.tokenizer, HFTokenizer):
        encoder.tokenizer.save_pretrained(str(folder))
    if tower := text_tower(model):
        tower.save_pretrained(folder)
    deviation = largest_deviation(_compared(encoder, folder))
    return describe(encoder, "open_clip", deviation, {"backbone_only": model.reader is not None})


def _check_size(model: E2) -> None:
    """Refuses a timm tower at another size than timm makes it, which open_clip cannot load weights into."""
    name = model.clip.origin.config["vision_cfg"].get("timm_model_name")
    if not name:
        return
    with torch.device("meta"):
        made = getattr(getattr(timm.create_model(name), "patch_embed", None), "img_size", None)
    seen = tuple(model.visual.image_size)
    if made not in (None, seen):
        raise InputError(
            f"open_clip loads {name} at {made[0]} x {made[1]} pixels only, and this model sees {seen[0]} x {seen[1]}; use "
            "--format onnx or transformers"
        )


def model_config(model: E2) -> dict:
    """Makes open_clip's configuration of the backbone, without remote weights or local paths.

    A transformers text tower or tokenizer from a folder is named ``.``: its files are copied there, and open_clip is to be run
    in the folder.
    """
    config = json.loads(json.dumps(model.clip.origin.config))
    text = config["text_cfg"]
    for name in ("hf_model_name", "hf_tokenizer_name"):
        if text.get(name) and (Path(text[name]).is_absolute() or Path(text[name]).is_dir()):
            text[name] = "."
    if text.get("hf_model_name"):
        text["hf_model_pretrained"] = False
    config["vision_cfg"].pop("timm_model_pretrained", None)
    if config["vision_cfg"].get("timm_model_name"):
        config["vision_cfg"]["timm_model_pretrained"] = False
    return config


def text_tower(model: E2) -> Any:
    """Configuration of a transformers text tower; None for open_clip's own."""
    return model.clip.text.config if model.clip.origin.config["text_cfg"].get("hf_model_name") else None


@torch.inference_mode()
def _compared(encoder: Encoder, folder: Path) -> Iterator[tuple[Tensor, Tensor]]:
    here = os.getcwd()
    os.chdir(folder)  # as its users do
    logging.disable(logging.WARNING)  # open_clip logs every file it opens
    try:
        theirs = open_clip.create_model_from_pretrained("local-dir:.", return_transform=False).eval()
        tokenizer = open_clip.get_tokenizer("local-dir:.")
    finally:
        logging.disable(logging.NOTSET)
        os.chdir(here)
    pixels, tokens = sample_pixels(encoder, 4), sample_tokens(encoder)
    yield tokens, tokenizer(list(SAMPLE_TEXTS))
    yield encoder.model.clip.encode_image(pixels, normalize=True), theirs.encode_image(pixels, normalize=True)
    yield encoder.model.clip.encode_text(tokens, normalize=True), theirs.encode_text(tokens, normalize=True)

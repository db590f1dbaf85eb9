"""Pairs the image tower of one backbone with the text tower of another: ``pair:IMAGE+TEXT``.

Either half is a backbone named as elsewhere, with its weights behind an ``@``: ``ViT-B-16@FILE``, ``ViT-B-16@openai``,
``local-dir:FOLDER``, ``transformers:FOLDER``, ``hf-hub:ORG/NAME``. Two kinds are towers on their own: ``timm:MODEL[.TAG]``, an
image tower such as DINOv2, and behind ``transformers:`` or ``hf-hub:`` a text encoder such as MiniLM.

The image tower's projection, else the text tower's, is kept, and a fresh one leads from the other tower to it (LiT, Zhai et
al. 2022, section 3). What is fresh is noted in the model's ``origin``, as it has to learn faster than what is trained already.
"""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from open_clip.model import convert_to_custom_text_state_dict
from torch import Tensor

from e2.backbone_build import create_by_open_clip
from e2.backbone_sources import PAIR, BackboneSource, activation_of_tag, read_by_open_clip, whole_source, with_file
from e2.errors import InputError
from e2.notes import note
from e2.single_towers import TIMM, text_encoder, text_encoder_folder, timm_tower
from e2.weights import Weights

WIDTH = 512  # of the embedding if neither tower has a projection; CLIP's usual one
SCALES = ("logit_scale", "logit_bias")
TEXT_PROJECTIONS = ("text.proj.", "text.text_projection")  # transformers' and open_clip's text towers
IMAGE_PROJECTION = "visual.head."  # of a timm tower on its own


def pair_source(name: str) -> BackboneSource:
    """Finds both towers and joins them to one backbone."""
    image_name, text_name = _halves(name)
    image, text = _half(image_name, "vision_cfg"), _half(text_name, "text_cfg")
    own, other = image.config.get("embed_dim"), text.config.get("embed_dim")
    fresh: tuple[str, ...] = SCALES
    if own is None:
        fresh += (IMAGE_PROJECTION,)
    if own is not None or other is None:
        fresh += TEXT_PROJECTIONS
    config = {
        "embed_dim": own or other or WIDTH,
        "quick_gelu": _quick_gelu(name, image, text),
        "custom_text": True,
        "vision_cfg": image.config["vision_cfg"],
        "text_cfg": _projected(text.config["text_cfg"]) if own is not None else text.config["text_cfg"],
    }
    if image.weights is None and text.weights is None:
        return BackboneSource(name, config, image.preprocess)
    for source, tower in ((image, "image"), (text, "text")):
        if source.weights is None:
            note(f"the {tower} tower {source.name} has random weights, which train as fast as new ones")
    return BackboneSource(name, config, image.preprocess, partial(_joined, image, text, fresh), name)


def named_text_half(name: str, pretrained: str | None) -> tuple[str, str | None]:
    """The text tower's name and weights; ``pretrained`` are those of the pair."""
    text, weights = _named(_halves(name)[1])
    return text, weights or pretrained


def _halves(name: str) -> tuple[str, str]:
    halves = name.removeprefix(PAIR).split("+")
    if len(halves) != 2 or not all(halves) or halves[0].startswith(PAIR):
        raise InputError(f"{name} names no image and text tower: write {PAIR}IMAGE+TEXT, with one + in all")
    return halves[0], halves[1]


def _named(half: str) -> tuple[str, str | None]:
    """Splits a half into its name and its weights; folders and hub names bring their own."""
    if ":" in half.partition("@")[0] and not half.startswith(TIMM):
        return half, None
    name, _, weights = half.partition("@")
    return name, weights or None


def _half(half: str, part: str) -> BackboneSource:
    """Finds the backbone that one tower (``vision_cfg`` or ``text_cfg``) is taken from."""
    name, pretrained = _named(half)
    if name.startswith(TIMM):
        source = timm_tower(name, pretrained)
    elif (folder := text_encoder_folder(name)) is not None:
        source = text_encoder(name, folder)
    else:
        source = whole_source(name)
        if pretrained and read_by_open_clip(pretrained):
            source = _of_open_clip(source, pretrained)
        elif pretrained:
            source = with_file(source, Path(pretrained), towers=(part,))
    if part not in source.config:
        here, there = ("image", "text") if part == "vision_cfg" else ("text", "image")
        raise InputError(f"{name} is {there} tower only, and named as the {here} tower: write {PAIR}IMAGE+TEXT")
    return source


def _of_open_clip(source: BackboneSource, tag: str) -> BackboneSource:
    """Gives a backbone the weights that open_clip knows under a tag."""
    model, _ = create_by_open_clip(source.name, tag, source.config, activation_of_tag(source.name, tag))
    weights = Weights(model.state_dict())
    return replace(
        source, config=model.origin.config, preprocess=model.visual.preprocess_cfg, weights=lambda: weights, place=tag
    )


def _quick_gelu(name: str, image: BackboneSource, text: BackboneSource) -> bool:
    """Activation of open_clip's own towers, which share it; timm's and transformers' have their own."""
    used = {
        bool(source.config.get("quick_gelu"))
        for source, part, foreign in ((image, "vision_cfg", "timm_model_name"), (text, "text_cfg", "hf_model_name"))
        if not source.config[part].get(foreign)
    }
    if len(used) > 1:
        raise InputError(f"{name}: one tower uses QuickGELU, the other GELU, which open_clip cannot build in one model")
    return used == {True}


def _projected(text: Mapping[str, Any]) -> dict[str, Any]:
    """A text tower's configuration with a projection, if it has none."""
    if text.get("hf_model_name"):
        return {**text, "hf_proj_type": text.get("hf_proj_type", "mlp") or "linear"}
    return {**text, "proj_type": "linear"}


def _joined(image: BackboneSource, text: BackboneSource, fresh: tuple[str, ...]) -> Weights:
    """Reads the weights of both towers; what one has none for is fresh."""
    state: dict[str, Tensor] = {}
    size = None
    for source, beginning in ((image, "visual."), (text, "text.")):
        if source.weights is None:
            fresh += (beginning,)
            continue
        weights = source.weights()
        own = {name: t for name, t in convert_to_custom_text_state_dict(weights.state).items() if name.startswith(beginning)}
        if not own:
            tower = "image" if source is image else "text"
            raise InputError(f"{source.place} holds no {tower} tower of open_clip: no name begins with {beginning}")
        state |= {name: tensor for name, tensor in own.items() if not name.startswith(fresh)}
        fresh += weights.fresh
        if source is image:
            size = weights.config.get("vision_cfg", {}).get("image_size")
    return Weights(state, {"vision_cfg": {"image_size": size}}, fresh=fresh)

"""Builds an open_clip model from a configuration and fills it with weights; open_clip's errors become one line."""

import copy
import json
import logging
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import open_clip
from safetensors import SafetensorError

from e2.data.transforms import PhotoTransform, photo_transform
from e2.errors import InputError, first_line
from e2.foreign import OpenClip
from e2.weights import OPEN_CLIP_CONFIG, Weights, load_weights_into

# Exceptions that open_clip, timm, transformers and the hub raise for bad input.
FOREIGN = (
    *(RuntimeError, OSError, LookupError, ArithmeticError, ValueError, TypeError, AttributeError, AssertionError),
    *(SafetensorError, UnpicklingError),
)


@dataclass(frozen=True)
class Origin:
    """Origin of a backbone, kept as ``clip.origin`` and in checkpoints, so that they can rebuild it without other files."""

    config: dict[str, Any]  # open_clip's model configuration, with the requested options applied
    pretrained: bool  # whether weights were loaded
    fresh: tuple[str, ...] = ()  # parameters that these weights lack, such as the projection between two towers


def build(
    name: str, config: Mapping[str, Any], preprocess: Mapping[str, Any], options: dict[str, Any]
) -> tuple[OpenClip, PhotoTransform]:
    """Builds a model with random weights from open_clip's model configuration; ``name`` is for messages."""
    vision = checked_config(config, name)["vision_cfg"]
    if vision.get("timm_model_name") and options.get("force_image_size") is None:
        options = {**options, "force_image_size": vision.get("image_size")}  # timm's own name may say another size
    with tempfile.TemporaryDirectory() as folder:
        content = {"model_cfg": dict(config), "preprocess_cfg": dict(preprocess)}
        (Path(folder) / OPEN_CLIP_CONFIG).write_text(json.dumps(content))
        place = f"local-dir:{folder}"
        logging.disable(logging.WARNING)  # open_clip would warn that the temporary folder holds no weights
        try:
            return create_by_open_clip(place, None, config, {"pretrained_text": False, **options})
        except InputError as error:
            raise InputError(str(error).replace(place, name)) from error
        finally:
            logging.disable(logging.NOTSET)


def create_by_open_clip(
    name: str, tag: str | None, config: Mapping[str, Any], options: dict[str, Any]
) -> tuple[OpenClip, PhotoTransform]:
    """Creates a model by a name and a weights tag that open_clip knows; ``config`` is the one by that name."""
    try:
        model, _, _ = open_clip.create_model_and_transforms(name, tag, **options)
    except FOREIGN as error:
        weights = f" with weights {tag}" if tag else ""
        raise InputError(f"cannot load backbone {name}{weights}: {first_line(error)}") from error
    grid = getattr(model.visual, "grid_size", None)
    if grid is not None and 0 in tuple(grid):
        raise InputError(f"image size {model.visual.image_size} is smaller than a patch of {name}; choose a larger one")
    model.origin = Origin(_as_built(config, options), bool(tag) and options.get("load_weights", True))
    return model, photo_transform(model.visual.preprocess_cfg)


def fill(model: OpenClip, weights: Weights, source: str) -> None:
    """Fills a model, every tensor accounted for, and notes in its origin what the weights lack."""
    fresh = load_weights_into(model, weights, source)
    model.origin = Origin(model.origin.config, pretrained=True, fresh=fresh)


def checked_config(config: Any, name: str) -> Mapping[str, Any]:
    """Returns a model configuration; refuses a damaged one."""
    parts = [config.get(part) for part in ("vision_cfg", "text_cfg")] if isinstance(config, Mapping) else [None]
    if not all(isinstance(part, Mapping) for part in parts):
        raise InputError(f"{name}: its model configuration is damaged, it lacks vision_cfg or text_cfg; restore it")
    return config


def _as_built(config: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration with open_clip's ``force_...`` options applied."""
    built = copy.deepcopy(dict(config))
    for option, part, key in (
        ("force_image_size", "vision_cfg", "image_size"),
        ("force_patch_dropout", "vision_cfg", "patch_dropout"),
        ("force_context_length", "text_cfg", "context_length"),
    ):
        if options.get(option) is not None:
            built[part][key] = options[option]
    for option, key in (("force_quick_gelu", "quick_gelu"), ("force_custom_text", "custom_text")):
        if options.get(option):
            built[key] = True
    return built

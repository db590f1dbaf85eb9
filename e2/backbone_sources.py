"""Finds a backbone's configuration, preprocessing and weights by its name; builds nothing."""

import copy
import difflib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import open_clip
from open_clip.factory import _find_checkpoint_in_dir
from open_clip.model import CLIPTextCfg, CLIPVisionCfg
from open_clip.pretrained import download_pretrained_from_hf, get_pretrained_cfg

from e2.backbone_build import FOREIGN, checked_config
from e2.errors import InputError, first_line
from e2.hf_weights import open_clip_config, read_json, transformers_checkpoint
from e2.hub import HUB, hub_config, hub_folder
from e2.notes import note
from e2.weights import OPEN_CLIP_CONFIG, Weights, read_weights

CONFIGS = Path(__file__).parent / "model_configs"
TRANSFORMERS, LOCAL, PAIR = "transformers:", "local-dir:", "pair:"
PLACES = (TRANSFORMERS, HUB, LOCAL, PAIR)


@dataclass(frozen=True)
class BackboneSource:
    """Parts of a backbone: its name, open_clip's model and preprocessing configuration, and its weights.

    ``weights`` reads them, from ``place``; None = random ones. Half a backbone, of a pair, lacks the other tower's
    configuration, and ``embed_dim`` too if it has no projection.
    """

    name: str
    config: Mapping[str, Any]
    preprocess: Mapping[str, Any] = field(default_factory=dict)
    weights: Callable[[], Weights] | None = None
    place: str = ""


def own_backbones() -> list[str]:
    """Names of our own small configurations."""
    return sorted(path.stem for path in CONFIGS.glob("*.json"))


@cache
def register_backbones() -> None:
    """Registers our configurations with open_clip, once."""
    open_clip.add_model_config(CONFIGS)


def whole_source(name: str) -> BackboneSource:
    """Finds a backbone of two towers: by a name of open_clip (with random weights), or in a folder or on the hub."""
    check_name(name)
    if ":" in name:
        return _placed(name)
    # Product photos vary in shape and their borders matter: our own backbones see the whole photo.
    preprocess = {"resize_mode": "squash"} if name in own_backbones() else {}
    return BackboneSource(name, open_clip.get_model_config(name), preprocess)


def check_name(name: str) -> None:
    """Refuses names that have no known form, or that open_clip does not know."""
    if ":" in name and not name.startswith(PLACES):
        forms = f"{LOCAL}FOLDER, {HUB}ORG/NAME, {TRANSFORMERS}FOLDER and {PAIR}IMAGE+TEXT"
        raise InputError(f"unknown backbone {name!r}; other forms are {forms}")
    if ":" not in name and name not in open_clip.list_models():
        near = difflib.get_close_matches(name, open_clip.list_models(), 5)
        hint = ", ".join([*own_backbones(), *(near or ["ViT-B-32", "ViT-B-16"])])
        raise InputError(f"unknown backbone {name!r}; choose for example {hint}")


def _placed(name: str) -> BackboneSource:
    """Finds a backbone in a folder or on the hub."""
    folder = transformers_folder(name)
    if folder is not None:
        return BackboneSource(name, *open_clip_config(folder), partial(read_weights, folder), str(folder))
    described, place = _described(name)
    config = with_text_config(described.get("model_cfg"), place if place.is_dir() else place.parent)
    source = BackboneSource(name, checked_config(config, name), described.get("preprocess_cfg") or {}, place=str(place))
    without = place.is_dir() and _find_checkpoint_in_dir(place) is None
    return source if without else replace(source, weights=partial(read_weights, place))


def _described(name: str) -> tuple[dict[str, Any], Path]:
    """Returns the content of ``open_clip_config.json`` and the folder or weights file of a ``local-dir:`` or ``hf-hub:``
    backbone.
    """
    if name.startswith(LOCAL):
        return local_config(name), Path(name.removeprefix(LOCAL))
    described = hub_config(name)
    try:
        return described, Path(download_pretrained_from_hf(name.removeprefix(HUB)))
    except FOREIGN as error:
        raise InputError(f"cannot get backbone {name}: {first_line(error)}; check the name and the network") from error


def local_config(name: str) -> dict[str, Any]:
    """Content of ``open_clip_config.json`` of a ``local-dir:`` backbone."""
    file = Path(name.removeprefix(LOCAL)) / OPEN_CLIP_CONFIG
    if not file.is_file():
        raise InputError(f"cannot get backbone {name}: there is no {file}; check the name")
    return read_json(file)


def with_text_config(config: Any, folder: Path) -> Any:
    """Points the configuration of a transformers text tower, if there is one, to the files in ``folder``.

    ``hf_model_name`` is a hub name, or a folder that may be gone; it is kept if ``folder`` holds no such files.
    """
    text = config.get("text_cfg") if isinstance(config, Mapping) else None
    if not isinstance(text, Mapping) or not text.get("hf_model_name"):
        return config
    inside = folder / str(text["hf_model_name"])
    beside = "model_type" in read_json(folder / "config.json")
    found = inside if inside.is_dir() else folder if beside else None
    return config if found is None else {**config, "text_cfg": {**text, "hf_model_name": str(found.absolute())}}


def transformers_folder(name: str) -> Path | None:
    """Folder of the transformers checkpoint that a backbone's name refers to (may download); None for other names."""
    if name.startswith(TRANSFORMERS):
        folder = name.removeprefix(TRANSFORMERS)
        found = transformers_checkpoint(folder)
        if found is None:
            raise InputError(
                f"{folder} holds no CLIP or SigLIP of transformers (a config.json with model_type clip or siglip)"
            )
        return found
    if name.startswith(HUB) and hub_config(name).get("model_type") in ("clip", "siglip"):
        return hub_folder(name)
    return None


# --- weights for a named model --------------------------------------------------------------------------------------


def read_by_open_clip(pretrained: str | None) -> bool:
    """True for weights that open_clip itself loads: a tag, or big_vision's SigLIP files, which it converts."""
    return pretrained is not None and (not Path(pretrained).exists() or pretrained.endswith((".npz", ".npy")))


def activation_of_tag(name: str, tag: str) -> dict[str, bool]:
    """Returns the activation a tag's weights were trained with: OpenAI's need QuickGELU, which plain names do not say."""
    if Path(tag).exists():
        return {}
    tags = open_clip.list_pretrained_tags_by_model(name)
    if tag not in tags:
        raise InputError(f"{tag!r} is neither a file nor a weights tag of {name}; tags: {', '.join(tags) or 'none'}")
    return {"force_quick_gelu": True} if get_pretrained_cfg(name, tag).get("quick_gelu") else {}


def is_run(pretrained: str | None) -> bool:
    """True if ``pretrained`` is an E2 checkpoint (folder or weights file), which itself records its backbone."""
    if not pretrained or not Path(pretrained).exists():
        return False
    folder = Path(pretrained) if Path(pretrained).is_dir() else Path(pretrained).parent
    return "backbone_config" in read_json(folder / "config.json")


TOWERS: dict[str, tuple[type, tuple[str, ...]]] = {  # what makes two towers the same architecture
    "vision_cfg": (CLIPVisionCfg, ("layers", "width", "patch_size", "timm_model_name")),
    "text_cfg": (CLIPTextCfg, ("layers", "width", "vocab_size")),
}


def with_file(source: BackboneSource, path: Path, towers: tuple[str, ...] = tuple(TOWERS)) -> BackboneSource:
    """Gives a backbone the weights of a file or folder, of some ``towers``.

    A configuration beside the weights takes precedence: it knows activation and norms, which a name may not.
    """
    name, weights, config = source.name, read_weights(path), source.config
    if weights.config:
        found = copy.deepcopy(dict(checked_config(weights.config, str(path))))
        _check_architecture(name, config, found, path, towers)
        found["vision_cfg"]["image_size"] = config["vision_cfg"]["image_size"]
        config = found
    elif not weights.of_openai and not config.get("quick_gelu") and f"{name}-quickgelu" in open_clip.list_models():
        note(
            f"{path} does not say what activation it was trained with, and {name} uses GELU; OpenAI's weights, and those "
            f"fine-tuned from them, need QuickGELU: for these choose {name}-quickgelu"
        )
    if weights.of_openai:
        config = {**config, "quick_gelu": True}
    preprocess = weights.preprocess or {**usual_preprocessing(name), **source.preprocess}
    return BackboneSource(name, config, preprocess, lambda: weights, str(path))


def _check_architecture(
    name: str, asked: Mapping[str, Any], found: Mapping[str, Any], path: Path, towers: tuple[str, ...]
) -> None:
    """Refuses weights of an architecture other than the named one."""
    differ = [] if asked["embed_dim"] == found.get("embed_dim") or len(towers) < len(TOWERS) else ["embed_dim"]
    for part in towers:
        usual, keys = TOWERS[part]
        for key in keys:
            left, right = (config[part].get(key, getattr(usual, key)) for config in (asked, found))
            if key == "timm_model_name" and left and right:  # these end in the image size
                left, right = (re.sub(r"_\d+$", "", value) for value in (left, str(right)))
            if left != right:
                differ.append(f"{part}.{key}")
    if differ:
        raise InputError(f"{path} holds weights of another architecture than {name}: {', '.join(differ)} differ")


def usual_preprocessing(name: str) -> dict[str, Any]:
    """Preprocessing that all of a model's tags agree on (SigLIP normalises and squashes photos in its own way)."""
    tags = [get_pretrained_cfg(name, tag) for tag in open_clip.list_pretrained_tags_by_model(name)]
    keys = ("mean", "std", "interpolation", "resize_mode")
    return {key: tags[0][key] for key in keys if tags and key in tags[0] and all(tag.get(key) == tags[0][key] for tag in tags)}

"""Builds the open_clip backbone and its tokenizer by name, from a folder or from the hub; weights come by tag or from files.

A backbone is named by

- one of open_clip's names or one of our own small configurations, with weights by open_clip's tags or from a file or folder;
- ``local-dir:FOLDER`` or ``hf-hub:ORG/NAME``: ``open_clip_config.json`` and weights, as open_clip takes them;
- ``transformers:FOLDER``: a CLIP or SigLIP of transformers; ``hf-hub:`` finds these too.
"""

import copy
import json
import logging
import re
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import open_clip
from open_clip.model import CLIPTextCfg, CLIPVisionCfg
from open_clip.pretrained import download_pretrained_from_hf, get_pretrained_cfg
from safetensors import SafetensorError

from e2.data.transforms import photo_transform
from e2.errors import InputError, first_line
from e2.foreign import OpenClip
from e2.hf_weights import is_transformers, open_clip_config, read_json
from e2.notes import note
from e2.weights import Weights, load_weights_into, read_weights

CONFIGS = Path(__file__).parent / "model_configs"
OWN_CONFIG = "open_clip_config.json"
PLACES = TRANSFORMERS, HUB, LOCAL = "transformers:", "hf-hub:", "local-dir:"
# Exceptions that open_clip, timm and the hub raise for bad input.
FOREIGN = (
    *(RuntimeError, OSError, LookupError, ArithmeticError, ValueError, TypeError, AttributeError, AssertionError),
    *(SafetensorError, UnpicklingError),
)
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "vocab.txt", "spiece.model")
HUB_FILES = ("*.json", "*.safetensors", "*.model", "*.txt")  # of a transformers repository: no pickles


@dataclass(frozen=True)
class Origin:
    """Origin of a backbone, kept as ``clip.origin`` and in checkpoints, so that they can rebuild it without other files."""

    config: dict[str, Any]  # open_clip's model configuration, with the requested options applied
    pretrained: bool  # whether weights were loaded


def own_backbones() -> list[str]:
    """Names of our own small configurations."""
    return sorted(path.stem for path in CONFIGS.glob("*.json"))


@cache
def register_backbones() -> None:
    """Registers our configurations with open_clip, once."""
    open_clip.add_model_config(CONFIGS)


def create_backbone(
    name: str, pretrained: str | None = None, *, config: Mapping[str, Any] | None = None, **options: Any
) -> tuple[OpenClip, Callable]:
    """Returns an open_clip model and its evaluation transform.

    Args:
        name: see above.
        pretrained: an open_clip tag (may download), a weights file or a folder with weights; None = random weights, or those
            that come with a ``local-dir:``, ``hf-hub:`` or ``transformers:`` name.
        config: open_clip's model configuration if already known (from a checkpoint); ``name`` is then only a label.
        options: passed on to ``open_clip.create_model_and_transforms``, e.g. ``force_image_size=(96, 64)``.

    Raises:
        InputError: unknown name or tag, weights that do not fit, no network, an image smaller than a patch.
    """
    register_backbones()
    if config is not None:
        return _built(name, config, {}, options)
    _check_name(name)
    if ":" in name and not is_run(pretrained):
        if pretrained:
            raise InputError(f"backbone {name} brings its own weights; leave out {pretrained!r}, or name the backbone itself")
        return _from_place(name, options)
    if name in own_backbones():
        # Product photos vary in shape and their borders matter: our own backbones see the whole photo.
        options = {"image_resize_mode": "squash", **options}
    if pretrained and Path(pretrained).exists():
        return _with_file(name, Path(pretrained), options)
    if pretrained:
        options = {**_activation_of_tag(name, pretrained), **options}
    return _created(name, pretrained, open_clip.get_model_config(name), options)


def _check_name(name: str) -> None:
    if ":" in name and not name.startswith(PLACES):
        raise InputError(f"unknown backbone {name!r}; other forms are {LOCAL}FOLDER, {HUB}ORG/NAME and {TRANSFORMERS}FOLDER")
    if ":" not in name and name not in open_clip.list_models():
        near = [model for model in open_clip.list_models() if model.lower()[:5] == name.lower()[:5]][:5]
        hint = ", ".join([*own_backbones(), *(near or ["ViT-B-32", "ViT-B-16"])])
        raise InputError(f"unknown backbone {name!r}; choose for example {hint}")


def _activation_of_tag(name: str, tag: str) -> dict[str, bool]:
    """Returns the activation a tag's weights were trained with: OpenAI's need QuickGELU, which plain names do not say.

    Raises:
        InputError: no such tag.
    """
    tags = open_clip.list_pretrained_tags_by_model(name)
    if tag not in tags:
        raise InputError(f"{tag!r} is neither a file nor a weights tag of {name}; tags: {', '.join(tags) or 'none'}")
    return {"force_quick_gelu": True} if get_pretrained_cfg(name, tag).get("quick_gelu") else {}


def _from_place(name: str, options: dict[str, Any]) -> tuple[OpenClip, Callable]:
    """Builds a backbone from a folder or the hub."""
    folder = transformers_folder(name)
    if folder is not None:
        weights = read_weights(folder)
        model, preprocess = _built(name, weights.config, weights.preprocess, options)
        return (_filled(model, weights, folder) if options.get("load_weights", True) else model), preprocess
    described, place = _described(name)
    config = with_text_config(described.get("model_cfg"), place if place.is_dir() else place.parent)
    model, preprocess = _built(name, _parts(config, name), described.get("preprocess_cfg") or {}, options)
    if not options.get("load_weights", True) or open_clip.factory._find_checkpoint_in_dir(place) is None and place.is_dir():
        return model, preprocess
    return _filled(model, read_weights(place), place), preprocess


def _described(name: str) -> tuple[dict[str, Any], Path]:
    """Returns the content of ``open_clip_config.json`` and the folder or weights file of a ``local-dir:`` or ``hf-hub:``
    backbone.
    """
    if name.startswith(LOCAL):
        folder = Path(name.removeprefix(LOCAL))
        if not (folder / OWN_CONFIG).is_file():
            raise InputError(f"cannot get backbone {name}: there is no {folder / OWN_CONFIG}; check the name")
        return read_json(folder / OWN_CONFIG), folder
    described = hub_config(name)
    try:
        return described, Path(download_pretrained_from_hf(name.removeprefix(HUB)))
    except FOREIGN as error:
        raise InputError(f"cannot get backbone {name}: {first_line(error)}; check the name and the network") from error


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


def _with_file(name: str, path: Path, options: dict[str, Any]) -> tuple[OpenClip, Callable]:
    """Builds a named backbone with weights from a file or folder.

    A configuration beside the weights takes precedence: it knows activation and norms, which a name may not.
    """
    config: Mapping[str, Any] = _named_config(name)
    if path.suffix in (".npz", ".npy"):  # big_vision's SigLIP weights, which open_clip converts
        return _created(name, str(path), config, options)
    weights = read_weights(path)
    if weights.of_openai:
        options = {"force_quick_gelu": True, **options}
    elif not weights.config and not config.get("quick_gelu") and f"{name}-quickgelu" in open_clip.list_models():
        note(
            f"{path} does not say what activation it was trained with, and {name} uses GELU; OpenAI's weights, and those "
            f"fine-tuned from them, need QuickGELU: for these choose {name}-quickgelu"
        )
    if weights.config:
        found = copy.deepcopy(_parts(weights.config, str(path)))
        _check_architecture(name, config, found, path)
        found["vision_cfg"]["image_size"] = config["vision_cfg"]["image_size"]
        config = found
    model, preprocess = _built(name, config, weights.preprocess or _usual_preprocessing(name), options)
    return (_filled(model, weights, path) if options.get("load_weights", True) else model), preprocess


def _named_config(name: str) -> dict[str, Any]:
    """open_clip's model configuration for a name, folder or hub repository."""
    if ":" not in name:
        return open_clip.get_model_config(name)
    place = transformers_folder(name)
    config = _described(name)[0].get("model_cfg") if place is None else open_clip_config(place)[0]
    return dict(_parts(config, name))


def is_run(pretrained: str | None) -> bool:
    """True if ``pretrained`` is an E2 checkpoint (folder or weights file), which itself records its backbone."""
    if not pretrained or not Path(pretrained).exists():
        return False
    folder = Path(pretrained) if Path(pretrained).is_dir() else Path(pretrained).parent
    return "backbone_config" in read_json(folder / "config.json")


def _check_architecture(name: str, asked: Mapping[str, Any], found: Mapping[str, Any], path: Path) -> None:
    """Refuses weights of an architecture other than the named one."""
    differ = [] if asked["embed_dim"] == found.get("embed_dim") else ["embed_dim"]
    for part, usual, keys in (
        ("vision_cfg", CLIPVisionCfg, ("layers", "width", "patch_size", "timm_model_name")),
        ("text_cfg", CLIPTextCfg, ("layers", "width", "vocab_size")),
    ):
        for key in keys:
            left, right = (config[part].get(key, getattr(usual, key)) for config in (asked, found))
            if key == "timm_model_name" and left and right:  # these end in the image size
                left, right = (re.sub(r"_\d+$", "", value) for value in (left, str(right)))
            if left != right:
                differ.append(f"{part}.{key}")
    if differ:
        raise InputError(f"{path} holds weights of another architecture than {name}: {', '.join(differ)} differ")


def _usual_preprocessing(name: str) -> dict[str, Any]:
    """Preprocessing that all of a model's tags agree on (SigLIP normalises and squashes photos in its own way)."""
    tags = [get_pretrained_cfg(name, tag) for tag in open_clip.list_pretrained_tags_by_model(name)]
    keys = ("mean", "std", "interpolation", "resize_mode")
    return {key: tags[0][key] for key in keys if tags and key in tags[0] and all(tag.get(key) == tags[0][key] for tag in tags)}


def _parts(config: Any, name: str) -> Mapping[str, Any]:
    """Returns the model configuration; refuses a damaged one."""
    parts = [config.get(part) for part in ("vision_cfg", "text_cfg")] if isinstance(config, Mapping) else [None]
    if not all(isinstance(part, Mapping) for part in parts):
        raise InputError(f"{name}: its model configuration is damaged, it lacks vision_cfg or text_cfg; restore it")
    return config


def _filled(model: OpenClip, weights: Weights, source: Path) -> OpenClip:
    load_weights_into(model, weights, source)
    model.origin = Origin(model.origin.config, pretrained=True)
    return model


def _built(
    name: str, config: Mapping[str, Any], preprocess: Mapping[str, Any], options: dict[str, Any]
) -> tuple[OpenClip, Callable]:
    """Builds a model with random weights from open_clip's model configuration; ``name`` is for messages."""
    vision = _parts(config, name)["vision_cfg"]
    if vision.get("timm_model_name") and options.get("force_image_size") is None:
        options = {**options, "force_image_size": vision.get("image_size")}  # timm's own name may say another size
    with tempfile.TemporaryDirectory() as folder:
        content = {"model_cfg": dict(config), "preprocess_cfg": dict(preprocess)}
        (Path(folder) / OWN_CONFIG).write_text(json.dumps(content))
        logging.disable(logging.WARNING)  # open_clip would warn that the temporary folder holds no weights
        try:
            return _created(f"{LOCAL}{folder}", None, config, {"pretrained_text": False, **options})
        except InputError as error:
            raise InputError(str(error).replace(f"{LOCAL}{folder}", name)) from error
        finally:
            logging.disable(logging.NOTSET)


def _created(
    name: str, tag: str | None, config: Mapping[str, Any], options: dict[str, Any], pretrained: bool | None = None
) -> tuple[OpenClip, Callable]:
    """Creates a model through open_clip; its errors become one line."""
    try:
        model, _, _ = open_clip.create_model_and_transforms(name, tag, **options)
    except FOREIGN as error:
        weights = f" with weights {tag}" if tag else ""
        raise InputError(f"cannot load backbone {name}{weights}: {first_line(error)}") from error
    grid = getattr(model.visual, "grid_size", None)
    if grid is not None and 0 in tuple(grid):
        raise InputError(f"image size {model.visual.image_size} is smaller than a patch of {name}; choose a larger one")
    loaded = bool(tag) if pretrained is None else pretrained
    model.origin = Origin(_as_built(config, options), loaded and options.get("load_weights", True))
    return model, photo_transform(model.visual.preprocess_cfg)


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


def transformers_folder(name: str) -> Path | None:
    """Folder of the transformers checkpoint that a backbone's name refers to (may download); None for other names.

    Raises:
        InputError: there is no checkpoint, or the hub cannot be reached.
    """
    if name.startswith(TRANSFORMERS):
        folder = Path(name.removeprefix(TRANSFORMERS))
        if not is_transformers(folder):
            raise InputError(
                f"{folder} holds no CLIP or SigLIP of transformers (a config.json with model_type clip or siglip)"
            )
        return folder
    if name.startswith(HUB) and hub_config(name).get("model_type") in ("clip", "siglip"):
        return _hub_folder(name)
    return None


def hub_config(name: str) -> dict[str, Any]:
    """Configuration in a hub repository: open_clip's ``model_cfg``, transformers' ``model_type`` or E2's ``format``.

    Raises:
        InputError: not in the cache and not available.
    """
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError

    reason = "it holds no open_clip_config.json and no config.json"
    for file in (OWN_CONFIG, "config.json"):
        try:
            return read_json(Path(hf_hub_download(name.removeprefix(HUB), file)))
        except EntryNotFoundError as error:  # not there, or not in the cache while the hub is out of reach
            reason = first_line(error)
        except Exception as error:  # the hub client raises many kinds; each means: not available
            raise InputError(f"cannot get {name} from the hub: {first_line(error)}; check the name and the network") from error
    raise InputError(f"cannot get {name}: it is not in the cache and the hub cannot be reached, or is no CLIP ({reason})")


def _hub_folder(name: str) -> Path:
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(name.removeprefix(HUB), allow_patterns=list(HUB_FILES)))
    except Exception as error:
        raise InputError(f"cannot get {name} from the hub: {first_line(error)}; check the name and the network") from error


def create_tokenizer(
    name: str, pretrained: str | None = None, *, config: Mapping[str, Any] | None = None, folder: Path | None = None
) -> Callable:
    """Returns the tokenizer of a backbone: list of strings -> (B, L).

    Args:
        name, pretrained: as for :func:`create_backbone`; a tokenizer in a folder of weights is used.
        config: open_clip's model configuration, if already known.
        folder: the tokenizer's files, for text towers that need some.

    Raises:
        InputError: its files are not available.
    """
    register_backbones()
    if config is None:
        _check_name(name)
    if config is None and (place := transformers_folder(name)) is not None:
        config, folder = open_clip_config(place)[0], place
    if folder is None and pretrained and Path(pretrained).exists():
        places = (Path(pretrained), Path(pretrained) / "tokenizer", Path(pretrained).parent / "tokenizer")  # a run's
        folder = next((place for place in places if (place / "tokenizer_config.json").is_file()), None)
    if folder is None and name.startswith(LOCAL):
        folder = Path(name.removeprefix(LOCAL))
        config = with_text_config(_parts(_described(name)[0].get("model_cfg"), name), folder)
    try:
        return _tokenizer_of((config or open_clip.get_model_config(name))["text_cfg"], folder)
    except (*FOREIGN, ImportError) as error:
        raise InputError(
            f"cannot get the tokenizer of {name}: {first_line(error)}; its files belong with the weights or in the hub's cache"
        ) from error


def _tokenizer_of(text: Mapping[str, Any], folder: Path | None) -> Callable:
    """Applies open_clip's own rule, with a folder in place of the hub, and runs no foreign code."""
    options = {"context_length": text.get("context_length", 77), **(text.get("tokenizer_kwargs") or {})}
    named = [name for name in (text.get("hf_tokenizer_name"), text.get("hf_model_name")) if name]
    if not named:
        return open_clip.SimpleTokenizer(**options)
    beside = folder is not None and any((folder / file).is_file() for file in TOKENIZER_FILES)
    place = str(folder) if beside else next((name for name in named if Path(name).is_dir()), named[0])
    return open_clip.tokenizer.HFTokenizer(
        place, tokenizer_mode=text.get("tokenizer_mode"), trust_remote_code=False, **options
    )

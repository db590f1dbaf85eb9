"""Creates the open_clip backbone and its tokenizer by name; weights come by tag or from files.

A backbone is named by

- one of open_clip's names or one of our own small configurations, with weights by open_clip's tags or from a file or folder;
- ``local-dir:FOLDER`` or ``hf-hub:ORG/NAME``: ``open_clip_config.json`` and weights, as open_clip takes them;
- ``transformers:FOLDER``: a CLIP or SigLIP of transformers; ``hf-hub:`` finds these too;
- ``pair:IMAGE+TEXT``: the image tower of one and the text tower of another, see ``e2.backbone_pairs``.
"""

import json
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import open_clip

from e2.backbone_build import FOREIGN, build, checked_config, create_by_open_clip, fill
from e2.backbone_pairs import named_text_half, pair_source
from e2.backbone_sources import (
    LOCAL,
    PAIR,
    BackboneSource,
    activation_of_tag,
    check_name,
    is_run,
    local_config,
    read_by_open_clip,
    register_backbones,
    transformers_folder,
    whole_source,
    with_file,
    with_text_config,
)
from e2.data.transforms import PhotoTransform
from e2.errors import InputError, first_line
from e2.foreign import OpenClip
from e2.hf_weights import open_clip_config
from e2.single_towers import text_encoder, text_encoder_folder

TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "vocab.txt", "spiece.model")


def create_backbone(
    name: str, pretrained: str | None = None, *, config: Mapping[str, Any] | None = None, **options: Any
) -> tuple[OpenClip, PhotoTransform]:
    """Returns an open_clip model and its evaluation transform.

    Args:
        name: see above.
        pretrained: an open_clip tag (may download), a weights file or a folder with weights; None = random weights, or those
            that come with a name of another form.
        config: open_clip's model configuration if already known (from a checkpoint); ``name`` is then only a label.
        options: passed on to ``open_clip.create_model_and_transforms``, e.g. ``force_image_size=(96, 64)``.
    """
    register_backbones()
    if config is not None:
        return build(name, config, {}, options)
    source = _source(name, pretrained)
    if pretrained is not None and read_by_open_clip(pretrained):
        options = {**activation_of_tag(name, pretrained), **options}
        return create_by_open_clip(name, pretrained, source.config, options)
    model, preprocess = build(name, source.config, source.preprocess, options)
    if source.weights and options.get("load_weights", True):
        fill(model, source.weights(), source.place)
    return model, preprocess


def _source(name: str, pretrained: str | None) -> BackboneSource:
    """Finds a backbone, with the weights of a file or folder if ``pretrained`` names one."""
    check_name(name)
    if ":" in name and pretrained and not is_run(pretrained):
        raise InputError(f"backbone {name} brings its own weights; leave out {pretrained!r}, or name the backbone itself")
    source = pair_source(name) if name.startswith(PAIR) else whole_source(name)
    return with_file(source, Path(pretrained)) if pretrained and not read_by_open_clip(pretrained) else source


def create_tokenizer(
    name: str, pretrained: str | None = None, *, config: Mapping[str, Any] | None = None, folder: Path | None = None
) -> Callable:
    """Returns the tokenizer of a backbone: list of strings -> (B, L).

    Args:
        name, pretrained: as for :func:`create_backbone`; a tokenizer in a folder of weights is used.
        config: open_clip's model configuration, if already known.
        folder: the tokenizer's files, for text towers that need some.
    """
    register_backbones()
    if config is None:
        check_name(name)
        if name.startswith(PAIR):
            return create_tokenizer(*named_text_half(name, pretrained), folder=folder)
        if (place := text_encoder_folder(name)) is not None:
            config, folder = text_encoder(name, place).config, place
        elif (place := transformers_folder(name)) is not None:
            config, folder = open_clip_config(place)[0], place
    if folder is None and pretrained and Path(pretrained).exists():
        places = (Path(pretrained), Path(pretrained) / "tokenizer", Path(pretrained).parent / "tokenizer")  # a run's
        folder = next((place for place in places if (place / "tokenizer_config.json").is_file()), None)
    if folder is None and name.startswith(LOCAL):
        folder = Path(name.removeprefix(LOCAL))
        config = with_text_config(checked_config(local_config(name).get("model_cfg"), name), folder)
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
        return clip_tokenizer(json.dumps(options))
    beside = folder is not None and _has_tokenizer(folder)
    place = str(folder) if beside else next((name for name in named if Path(name).is_dir()), named[0])
    if Path(place).is_dir() and not _has_tokenizer(Path(place)):
        raise FileNotFoundError(f"{place} holds none of {', '.join(TOKENIZER_FILES)}")  # transformers would make an empty one
    return open_clip.tokenizer.HFTokenizer(
        place, tokenizer_mode=text.get("tokenizer_mode"), trust_remote_code=False, **options
    )


@cache
def clip_tokenizer(options: str = "{}") -> open_clip.SimpleTokenizer:
    """CLIP's own tokenizer, one for each set of options (as JSON): building its table of 49,000 merges takes 0.15 s."""
    return open_clip.SimpleTokenizer(**json.loads(options))


def _has_tokenizer(folder: Path) -> bool:
    return any((folder / file).is_file() for file in TOKENIZER_FILES)

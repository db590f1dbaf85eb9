"""Exports an encoder as a repository for transformers: ``AutoModel``, ``AutoTokenizer`` and ``AutoImageProcessor`` load it.

A plain CLIP becomes a ``CLIPModel``, which needs no foreign code. An E2, or a backbone that transformers lacks, becomes a
folder with its own code (``trust_remote_code=True``): copies of the required files of E2.
"""

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from open_clip.tokenizer import HFTokenizer
from safetensors.torch import save_file
from torch import Tensor, nn

import e2
from e2.adapters.encoder import Encoder
from e2.adapters.export import modeling_e2
from e2.adapters.export.checks import SAMPLE_TEXTS, describe, largest_deviation, photo_rule, sample_pixels, sample_tokens
from e2.adapters.export.clip_model import clip_config, clip_state, maps_onto_clip_model
from e2.adapters.export.open_clip_folder import model_config, text_tower
from e2.adapters.export.photo_files import save_preprocessing
from e2.adapters.export.record import Exported
from e2.adapters.export.tokenizer_files import load_tokenizer, save_for_transformers
from e2.errors import InputError, first_line
from e2.settings import to_dict
from e2.texts import can_cut

CODE = Path(modeling_e2.__file__)
PACKAGE = Path(e2.__file__).parent
RESAMPLING = {"bilinear": 2, "bicubic": 3}  # PIL's numbers
IMPORT = re.compile(r"^(\s*)from e2\.(\w+) import", re.MULTILINE)


def write_transformers(encoder: Encoder, folder: Path) -> Exported:
    """Writes the folder and reloads it with transformers to compare.

    Raises:
        InputError: transformers cannot prepare photos or texts that way, or its results differ.
    """
    model = encoder.model.to("cpu").eval()
    if not (isinstance(encoder.tokenizer, HFTokenizer) or can_cut(model.clip)):
        raise InputError(
            "this text tower looks at padding, which transformers' CLIP tokenizer fills differently; use --format onnx"
        )
    rule = photo_rule(encoder)
    (folder / "preprocessor_config.json").write_text(json.dumps(_image_processor(rule), indent=2) + "\n")
    save_preprocessing(rule, encoder.preprocess, folder)
    described = save_for_transformers(encoder.tokenizer, folder)
    own_code = model.reader is not None or not maps_onto_clip_model(model.clip)
    config, tensors = _with_code(encoder, folder) if own_code else _clip_model(model.clip)
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    contiguous = {name: tensor.detach().clone().contiguous() for name, tensor in tensors.items()}
    save_file(contiguous, folder / "model.safetensors", {"format": "pt"})
    deviation = largest_deviation(_compared(encoder, folder, described))
    further = {"architecture": config["architectures"][0], "own_code": own_code, "tokenizer": described}
    return describe(encoder, "transformers", deviation, further)


def _clip_model(clip: nn.Module) -> tuple[dict[str, Any], dict[str, Tensor]]:
    from transformers import CLIPConfig

    config = CLIPConfig(**clip_config(clip), architectures=["CLIPModel"]).to_dict()
    return config, clip_state(clip)


def _with_code(encoder: Encoder, folder: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Copies the code and returns configuration and weights of an ``E2Model``."""
    for path in [CODE, *needed_files(CODE)]:
        (folder / path.name).write_text(IMPORT.sub(r"\1from .\2 import", path.read_text()))
    model, tower = encoder.model, text_tower(encoder.model)
    config = modeling_e2.E2Config(
        backbone=model_config(model),
        e2=to_dict(model.config),
        text_tower={**tower.to_dict(), "_name_or_path": ""} if tower else None,
        architectures=["E2Model"],
        auto_map={"AutoConfig": f"{CODE.stem}.E2Config", "AutoModel": f"{CODE.stem}.E2Model"},
    )
    made = modeling_e2.E2Model(config)
    made.model.load_state_dict(model.state_dict(), strict=False)  # include its masks, which the model keeps out of its state
    return config.to_dict(), made.state_dict()


def needed_files(path: Path) -> list[Path]:
    """Modules of E2 that a file imports, directly or indirectly."""
    found: dict[str, Path] = {}
    waiting = [path]
    while waiting:
        for node in ast.walk(ast.parse(waiting.pop().read_text())):
            name = node.module if isinstance(node, ast.ImportFrom) and not node.level else None
            if name and name.startswith("e2.") and name not in found:
                found[name] = PACKAGE / f"{name.removeprefix('e2.')}.py"
                waiting.append(found[name])
    return sorted(found.values())


def _image_processor(rule: dict[str, Any]) -> dict[str, Any]:
    """Converts the preprocessing to the terms of transformers' ``CLIPImageProcessor``."""
    height, width = rule["size"]
    if rule["resize_mode"] == "longest" or rule["interpolation"] not in RESAMPLING:
        raise InputError(
            f"transformers' CLIPImageProcessor knows no {rule['interpolation']} resizing of the {rule['resize_mode']} kind; "
            "use --format onnx"
        )
    squash = rule["resize_mode"] == "squash"
    if not squash and height != width:
        raise InputError("transformers' CLIPImageProcessor cannot crop to a rectangle; use --format onnx")
    return {
        "image_processor_type": "CLIPImageProcessor",
        "processor_class": "CLIPProcessor",  # of AutoProcessor, both in one
        "do_convert_rgb": True,
        "do_resize": True,
        "size": {"height": height, "width": width} if squash else {"shortest_edge": height},
        "resample": RESAMPLING[rule["interpolation"]],
        "do_center_crop": not squash,
        "crop_size": {"height": height, "width": width},
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": list(rule["mean"]),
        "image_std": list(rule["std"]),
    }


@torch.inference_mode()
def _compared(encoder: Encoder, folder: Path, described: dict[str, Any]) -> Iterator[tuple[Tensor, Tensor]]:
    from e2.adapters.export.transformers_encoder import TransformersModel, TransformersTokenizer

    try:
        theirs = TransformersModel(folder)
    except (OSError, ValueError, TypeError, RuntimeError, ImportError, AttributeError, KeyError) as error:
        raise InputError(f"transformers cannot load this model: {first_line(error)}") from error
    pixels, model = sample_pixels(encoder, 4), encoder.model
    yield model.encode_image(pixels, normalize=True), theirs.encode_image(pixels, normalize=True)
    if encoder.tags:
        yield model.encode_regions(pixels, normalize=True), theirs.encode_regions(pixels, normalize=True)
    ours = model.encode_text(sample_tokens(encoder), normalize=True)
    for tokenizer in (load_tokenizer(folder, described), TransformersTokenizer(folder)):
        yield ours, theirs.encode_text(tokenizer(list(SAMPLE_TEXTS)), normalize=True)

"""Checkpoints: a folder with ``model.safetensors`` and ``config.json``; never a pickle.

The weights have the names of ``model.state_dict()``: the backbone's are open_clip's own, what E2 adds begins with ``reader.``.
So the weights of a plain method load in plain open_clip, and a stranger can see what is new.
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import torch
from open_clip.tokenizer import HFTokenizer
from pydantic import Field
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.distributed.tensor import DTensor

from e2.accounting import load_exactly
from e2.backbone_sources import with_text_config
from e2.backbones import create_tokenizer
from e2.config import ModelConfig
from e2.data.transforms import PhotoTransform
from e2.devices import dtype_of, open_device
from e2.errors import InputError
from e2.factory import create_model_and_transforms
from e2.files import atomic_folder, atomic_path, atomic_tensors, file_sha256
from e2.former_names import current_config, current_weights
from e2.hub import HUB, hub_folder
from e2.model import E2
from e2.settings import from_dict, settings, to_dict
from e2.texts import transformers_tower
from e2.version import __version__

WEIGHTS, CONFIG, TOKENIZER = "model.safetensors", "config.json", "tokenizer"
LAST = "last.safetensors"  # the weights that training ended with, beside the best ones
ORIGIN = ("backbone", "method", "training", "start_sha256")  # of config.json: where a model comes from
FILES = (WEIGHTS, CONFIG, f"{TOKENIZER}/*")  # of a checkpoint on the hub
FORMAT = 5  # raised when a reader of today could not read what is written


Deviation = Annotated[float, Field(ge=1e-6)]


@settings
class Preprocess:
    """Photo preprocessing in ``config.json``, as far as loading needs it."""

    size: int | tuple[int, int]
    mean: tuple[float, float, float]
    std: tuple[Deviation, Deviation, Deviation]
    interpolation: str
    resize_mode: str


def weights_of(model: E2) -> dict[str, Tensor]:
    """All weights, contiguous and on the CPU, under their names in a checkpoint."""
    return {name: whole(tensor) for name, tensor in model.state_dict().items()}


def whole(tensor: Tensor) -> Tensor:
    """Copies a tensor to the CPU, contiguous; a sharded one (FSDP) is gathered, so every process must call this."""
    tensor = tensor.detach()
    return (tensor.full_tensor() if isinstance(tensor, DTensor) else tensor).cpu().contiguous()


def save_weights(model: E2, folder: Path) -> None:
    """Writes ``model.safetensors``, whole or not at all."""
    write_weights(weights_of(model), folder / WEIGHTS, metadata_of(model))


def write_weights(weights: dict[str, Tensor], file: Path, metadata: dict[str, str]) -> None:
    """Saves the weights that :func:`weights_of` gave."""
    with atomic_tensors(file) as path:
        save_file(weights, path, {**metadata, "format": "pt"})
        _sort_metadata(path)


def _sort_metadata(path: Path) -> None:
    """Puts a file's metadata in order, which safetensors draws at random, so that equal weights have equal hashes."""
    with path.open("r+b") as file:
        size = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(size))
        header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
        file.seek(8)
        file.write(json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode().ljust(size))


def metadata_of(model: E2) -> dict[str, str]:
    """Metadata to write into a weights file, which then describes itself without ``config.json``."""
    return {"version": __version__, "backbone": model.made_from.get("backbone", ""), "tags": ",".join(model.tags)}


def read_metadata(file: Path) -> dict[str, str]:
    """Reads the metadata of a weights file."""
    with safe_open(file, "pt") as content:
        return content.metadata() or {}


def save_config(
    folder: Path,
    *,
    backbone: str,
    model: E2,
    method: str,
    training: dict[str, Any],
    tokenizer: Callable | None = None,
    start_sha256: str | None = None,
) -> None:
    """Writes ``config.json``: all that is needed to rebuild the model and to know where it comes from.

    A tokenizer that lives in files (SentencePiece) is written beside it, into ``tokenizer/``, with the configuration of a text
    tower of transformers. So a checkpoint needs neither the folder that its backbone came from nor the hub.
    """
    if isinstance(tokenizer, HFTokenizer) and not (folder / TOKENIZER).exists():
        with atomic_folder(folder / TOKENIZER) as path:
            tokenizer.save_pretrained(path)
            if (text := transformers_tower(model.clip)) is not None:
                text.config.save_pretrained(path)
    origin = getattr(model.clip, "origin", None)
    content = {
        "format": FORMAT,
        "version": __version__,
        "backbone": backbone,
        "backbone_config": None if origin is None else origin.config,
        "method": method,
        "tags": list(model.tags),
        "model": to_dict(model.config),
        "preprocess": dict(model.visual.preprocess_cfg),
        "tokenizer": {"backbone": backbone, "context_length": model.context_length},
        "training": training,
        "start_sha256": start_sha256,  # of the pre-trained weights that training began with
    }
    with atomic_path(folder / CONFIG) as path:
        path.write_text(json.dumps(content, indent=2) + "\n")


def checkpoint_files(path: str | Path) -> tuple[Path, Path]:
    """A checkpoint's folder and its weights: ``model.safetensors`` of a folder, or the file in it that is named."""
    path = Path(path)
    return (path.parent, path) if path.suffix == ".safetensors" else (path, path / WEIGHTS)


def read_config(checkpoint: str | Path) -> dict[str, Any]:
    """The checkpoint's ``config.json``; named by its folder or a weights file in it."""
    folder, _ = checkpoint_files(checkpoint)
    path = folder / CONFIG
    if not path.is_file():
        raise InputError(f"{folder} is not an E2 checkpoint: it has no {CONFIG}; give the folder that `e2 train --out` wrote")
    try:
        config = current_config(json.loads(path.read_text()))
        written_as = config["format"]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(f"{path} is damaged or was not written by e2 train; restore it or train again") from error
    if written_as != FORMAT:
        raise InputError(f"{path} has format {written_as!r}, this version reads {FORMAT}; use the e2 that wrote it")
    if missing := [key for key in ("backbone", "method", "model", "preprocess", "training") if key not in config]:
        without = f"{path} is damaged or no encoder's: {', '.join(missing)} is missing"
        raise InputError(f"{without}; give the folder that `e2 train --out` wrote")
    return config


def load(path: str | Path, *, device: str = "cpu", precision: str = "fp32", **hub: Any) -> tuple[E2, PhotoTransform, Callable]:
    """Loads a trained model with its evaluation transform and its tokenizer.

    Args:
        path: a checkpoint folder, a weights file in one (``RUN/last.safetensors``), or ``hf-hub:ORG/NAME`` (may download).
        device: cpu, cuda or auto.
        precision: of the weights, fp32, bf16 or fp16; photos are converted to it.
        hub: options of ``huggingface_hub.snapshot_download`` for ``hf-hub:``, e.g. ``revision="v1"``.

    Returns:
        model, evaluation transform, tokenizer.

    Raises:
        InputError: missing, foreign or damaged files, which the message names, or a device that is not there.
    """
    folder, weights = checkpoint_files(hub_folder(str(path), FILES, **hub) if str(path).startswith(HUB) else path)
    config = read_config(folder)
    try:
        options = from_dict(ModelConfig, config["model"], "model")
        backbone, seen = config["backbone"], config["preprocess"]
        architecture = config.get("backbone_config")  # absent in the checkpoints of version 0.1
        architecture = with_text_config(architecture, folder / TOKENIZER)
        seen = from_dict(Preprocess, {f.name: seen[f.name] for f in fields(Preprocess)}, "preprocess")
        inputs = {f"image_{name}": getattr(seen, name) for name in ("mean", "std", "interpolation", "resize_mode")}
        inputs["force_image_size"] = seen.size
        if not isinstance(backbone, str):
            raise InputError(f"backbone {backbone!r} is not a name")
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{folder / CONFIG} is damaged: {error} is missing; restore it or train again") from error
    except InputError as error:
        raise InputError(f"{folder / CONFIG}: {error}") from error
    model, _, preprocess = create_model_and_transforms(
        backbone, config=options, backbone_options={**inputs, "load_weights": False, "config": architecture}
    )
    fill(model, read_tensors(weights), weights)
    files = folder / TOKENIZER
    model.made_from = {name: config.get(name) for name in ORIGIN}
    model.make_tokenizer = partial(create_tokenizer, backbone, config=architecture, folder=files if files.is_dir() else None)
    return model.to(open_device(device), dtype_of(precision)).eval(), preprocess, model.make_tokenizer()


def fill(model: E2, tensors: dict[str, Tensor], path: Path) -> None:
    """Fills a model with the tensors of a weights file, every one accounted for."""
    load_exactly(model, tensors, f"{path} does not fit its {CONFIG}")


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file, under today's names."""
    try:
        return current_weights(load_file(path))
    except FileNotFoundError as error:
        raise InputError(f"{path} is missing; copy the whole checkpoint folder") from error
    except (SafetensorError, OSError, ValueError) as error:
        raise InputError(f"{path} is damaged or no safetensors file ({error}); restore it or train again") from error


def tensors_sha256(tensors: dict[str, Tensor]) -> str:
    """Hash of names and values, whatever file they came from."""
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def weights_sha256(checkpoint: str | Path) -> str:
    """Hash of the weights file of a checkpoint: names a model in results and binds adapters to their encoder."""
    return file_sha256(checkpoint_files(checkpoint)[1])


def check_saving(model: E2, folder: Path) -> None:
    """Refuses to write a model whose backbone has no name, or over another program's ``config.json``."""
    if "backbone" not in model.made_from:
        raise InputError("only models of create_model_and_transforms, load or from_pretrained can be saved")
    if (folder / CONFIG).exists():
        read_config(folder)


def save_model(model: E2, folder: Path) -> None:
    """Writes a model as a checkpoint, with what is known of its training."""
    known = {name: value for name, value in model.made_from.items() if value is not None}
    save_weights(model, folder)
    save_config(folder, model=model, tokenizer=model.make_tokenizer(), **{"method": "e2", "training": {}, **known})

"""Loads foreign weights into an open_clip model: reads them without running code, adapts them, accounts for every tensor."""

import math
import pickle
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from open_clip.convert import convert_state_dict
from open_clip.factory import _find_checkpoint_in_dir
from open_clip.model import convert_to_custom_text_state_dict, resize_text_pos_embed
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from timm.layers import resample_abs_pos_embed
from torch import Tensor

from e2.accounting import load_exactly
from e2.errors import InputError, first_line
from e2.foreign import OpenClip
from e2.former_names import current_weights
from e2.hf_weights import is_transformers, open_clip_config, open_clip_state, read_json

OPEN_CLIP_CONFIG = "open_clip_config.json"
WRAPPERS = ("state_dict", "model_state_dict", "model", "CLIP")  # keys under which training programs keep the weights
NEW_PREFIX = "reader."  # what E2 adds, in its checkpoints
POSITION_IDS = "text.transformer.embeddings.position_ids"  # 0, 1, 2, ..., which transformers kept with the weights once
FRESH = "fresh"  # names in a file's metadata of what has not been trained
OF_TRANSFORMERS = ("model.safetensors", "pytorch_model.bin")  # names of its files of weights
OF_OPENAI = ("input_resolution", "context_length", "vocab_size")  # numbers in OpenAI's own files, which are not weights


@dataclass
class Weights:
    """Content of a weights file or folder.

    ``config`` is open_clip's model configuration if it lies beside the weights, else empty. ``of_openai``: OpenAI's own
    weights, trained with QuickGELU. ``fresh``: beginnings of the names of what has not been trained, and so may be missing.
    """

    state: dict[str, Tensor]
    config: dict[str, Any] = field(default_factory=dict)
    preprocess: dict[str, Any] = field(default_factory=dict)
    of_openai: bool = False
    fresh: tuple[str, ...] = ()


def read_weights(path: Path) -> Weights:
    """Reads weights under open_clip's names.

    ``path`` is a weights file (safetensors, or a torch file of tensors), or a folder of transformers' CLIP or SigLIP, an E2
    checkpoint (whose backbone is taken) or an open_clip model.
    """
    folder = path if path.is_dir() else path.parent
    if is_transformers(folder) and (path.is_dir() or path.name in OF_TRANSFORMERS):
        config, preprocess = open_clip_config(folder)
        return Weights(open_clip_state(folder, _transformers_tensors(path)), config, preprocess)
    file = weights_file(path)
    state = {name: tensor for name, tensor in current_weights(read_tensors(file)).items() if not name.startswith(NEW_PREFIX)}
    if "vision_model.embeddings.patch_embedding.weight" in state:
        raise InputError(f"{path} holds weights of transformers: its config.json must lie beside it, give the whole folder")
    stored = read_json(folder / "config.json") if file.name == "model.safetensors" else {}  # of an E2 checkpoint
    described = read_json(folder / OPEN_CLIP_CONFIG)
    of_openai = all(name in state for name in OF_OPENAI)
    return Weights(
        {name: tensor for name, tensor in state.items() if not (of_openai and name in OF_OPENAI)},
        stored.get("backbone_config") or described.get("model_cfg") or {},
        stored.get("preprocess") or described.get("preprocess_cfg") or {},
        of_openai,
        _fresh(file),
    )


def _fresh(file: Path) -> tuple[str, ...]:
    """Names of what has not been trained, as an export of an untrained backbone notes them."""
    if file.suffix != ".safetensors":
        return ()
    with safe_open(file, "pt") as content:
        return tuple(filter(None, (content.metadata() or {}).get(FRESH, "").split(",")))


def weights_file(path: Path) -> Path:
    """File of the weights in a folder; a file is itself."""
    found = _find_checkpoint_in_dir(path) if path.is_dir() else path
    if found is None:
        raise InputError(f"folder {path} holds no weights; it needs model.safetensors or open_clip_model.safetensors")
    return Path(found)


def _transformers_tensors(path: Path) -> dict[str, Tensor]:
    """Reads all tensors of a transformers checkpoint: a single file, or shards with an index."""
    if path.is_file():
        return read_tensors(path)
    shards = set(read_json(path / "model.safetensors.index.json").get("weight_map", {}).values())
    names = sorted(shards) or [name for name in OF_TRANSFORMERS if (path / name).exists()][:1]
    if not names:
        raise InputError(f"{path} holds no weights; it needs model.safetensors beside config.json")
    return {name: tensor for file in names for name, tensor in read_tensors(path / file).items()}


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Reads the tensors of a file, unwrapped and without the prefix that distributed training adds."""
    if is_torchscript(path):
        raise InputError(
            f"{path} is a TorchScript archive (as OpenAI's .pt files are): code as well as weights, which is not run; if you "
            "trust it, write its weights once: safetensors.torch.save_file(torch.jit.load(FILE).state_dict(), NEW_FILE)"
        )
    try:
        content = load_file(path) if path.suffix == ".safetensors" else torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise InputError(
            f"{path} holds more than tensors (or is not a weights file), and loading it could run foreign code; "
            "save its state dict as safetensors"
        ) from error
    except (SafetensorError, OSError, ValueError, RuntimeError, EOFError, KeyError) as error:
        raise InputError(f"{path} is damaged or no weights file: {first_line(error)}") from error
    while isinstance(content, dict) and (inner := next((key for key in WRAPPERS if isinstance(content.get(key), dict)), None)):
        content = content[inner]
    if not isinstance(content, dict) or not content or not all(isinstance(value, Tensor) for value in content.values()):
        raise InputError(f"{path} holds no state dict of tensors; known wrappers are {', '.join(WRAPPERS)}")
    prefixed = all(name.startswith("module.") for name in content)
    return {name.removeprefix("module.") if prefixed else name: tensor for name, tensor in content.items()}


def is_torchscript(path: Path) -> bool:
    """True if ``torch.jit.save`` wrote the file; nothing is loaded."""
    if not path.is_file() or not zipfile.is_zipfile(path):
        return False
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.endswith("/constants.pkl") for name in archive.namelist())
    except (OSError, zipfile.BadZipFile, ValueError):  # damaged: whoever reads it will report it
        return False


def load_weights_into(clip: OpenClip, weights: Weights, source: Path | str) -> tuple[str, ...]:
    """Fills an open_clip model, every tensor accounted for; position tables are resampled to the model's grid.

    Returns the names of the parameters that stay as they are drawn, or came untrained.
    """
    state = convert_state_dict(clip, dict(weights.state))
    if "positional_embedding" in state and not hasattr(clip, "positional_embedding"):
        state = convert_to_custom_text_state_dict(state)
    for name in ("logit_scale", "logit_bias"):  # a scalar in some models, a vector in others
        target = getattr(clip, name, None)
        if name in state and target is not None:
            state[name] = state[name].reshape(target.shape)
    if clip.logit_bias is not None and "logit_bias" not in state:
        state["logit_bias"] = torch.zeros_like(clip.logit_bias)  # weights trained without one, as in open_clip
    if POSITION_IDS not in clip.state_dict():
        state.pop(POSITION_IDS, None)
    fit_positions(clip.visual, state, weights.config.get("vision_cfg", {}).get("image_size"), source)
    try:
        resize_text_pos_embed(state, clip)
    except (RuntimeError, AssertionError) as error:
        raise InputError(f"{source} does not fit the backbone: {first_line(error)}") from error
    drawn = _beginning(clip.state_dict(), weights.fresh)
    load_exactly(clip, {**drawn, **state}, f"{source} does not fit the backbone")
    return tuple(_beginning(dict(clip.named_parameters()), weights.fresh))


def _beginning(tensors: dict[str, Tensor], beginnings: tuple[str, ...]) -> dict[str, Tensor]:
    """Tensors whose names begin so."""
    return {name: tensor for name, tensor in tensors.items() if name.startswith(beginnings)}


def fit_positions(visual: OpenClip, state: dict[str, Tensor], image_size: Any, source: Path | str) -> None:
    """Resamples the position table in ``state`` to the tower's grid: bicubic with antialiasing, open_clip's own rule.

    ``image_size``, a number or (height, width), is that which the table was learned at; None = square.
    """
    native = "visual.positional_embedding" in state and hasattr(visual, "grid_size")
    trunk: Any = getattr(visual, "trunk", None)
    name = "visual.positional_embedding" if native else "visual.trunk.pos_embed"
    if name not in state or not (native or hasattr(getattr(trunk, "patch_embed", None), "grid_size")):
        return
    table = state[name] if state[name].ndim == 3 else state[name].unsqueeze(0)  # (1, P + N, W)
    patch = visual.patch_size if native else trunk.patch_embed.patch_size
    grid = tuple(visual.grid_size if native else trunk.patch_embed.grid_size)
    prefix = 1 if native else 0 if trunk.no_embed_class else trunk.num_prefix_tokens
    patches = table.shape[1] - prefix
    old = grid if image_size is None and patches == grid[0] * grid[1] else _grid(image_size, patch, patches)
    if old is None:
        raise InputError(f"{source} has positions for {patches} patches, which is not a square grid to resample")
    if old != grid:
        table = resample_abs_pos_embed(table, new_size=list(grid), old_size=list(old), num_prefix_tokens=prefix)
    state[name] = table.reshape(*state[name].shape[:-2], *table.shape[-2:])


def _grid(image_size: Any, patch: tuple[int, int], patches: int) -> tuple[int, int] | None:
    """Grid of a position table of so many patches; None if unknown."""
    if image_size is not None:
        height, width = (image_size, image_size) if isinstance(image_size, int) else image_size
        grid = (height // patch[0], width // patch[1])
        if grid[0] * grid[1] == patches:
            return grid
    side = math.isqrt(patches)
    return (side, side) if side * side == patches else None

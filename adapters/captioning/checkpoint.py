"""Saves and loads captioners.

A captioner is a checkpoint like an encoder: ``model.safetensors`` (decoder and memory), ``config.json``, the tokenizer's
files, and for ``nearest`` the texts in ``memory.txt``. It belongs to one encoder, which ``config.json`` names by its hash.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import Tensor
from transformers import GPT2Config, GPT2Model

from e2.accounting import load_exactly
from e2.adapters.captioning.captioner import Captioner
from e2.adapters.captioning.config import CaptionerConfig
from e2.adapters.captioning.model import build_model
from e2.adapters.captioning.tokenizers import load_tokenizer
from e2.adapters.encoder import Encoder
from e2.adapters.encoder_paths import check_noted, load_noted, noted
from e2.adapters.tag_reader import TagReader
from e2.checkpoint import CONFIG, WEIGHTS, read_tensors, weights_sha256
from e2.errors import InputError
from e2.settings import from_dict
from e2.version import __version__

FORMAT = 1  # raised when older readers cannot read what is written
MEMORY, MEMORY_TEXTS, MODEL = "memory", "memory.txt", "model."


def save_captioner(captioner: Captioner, folder: Path, home: Path) -> None:
    """Writes all files into an existing folder, to be moved to ``home``."""
    tensors = {} if captioner.memory is None else {MEMORY: captioner.memory}
    if captioner.model is not None and captioner.tokenizer is not None:
        tensors |= {MODEL + name: tensor for name, tensor in captioner.model.state_dict().items()}
        captioner.tokenizer.save(folder)
    if captioner.memory_texts:
        (folder / MEMORY_TEXTS).write_text("".join(f"{text}\n" for text in captioner.memory_texts), encoding="utf-8")
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    save_file(tensors, folder / WEIGHTS, {"format": "pt"})
    (folder / CONFIG).write_text(
        json.dumps(_description(captioner, home), indent=2, ensure_ascii=False) + "\n",
        encoding="utf-8",
        errors="backslashreplace",
    )


def _description(captioner: Captioner, home: Path) -> dict[str, Any]:
    reader, language_model = captioner.tag_reader, None
    if captioner.model is not None:
        language_model = captioner.model.language_model.config.to_diff_dict()
    return {
        "format": FORMAT,
        "kind": "captioner",
        "version": __version__,
        "config": asdict(captioner.config),
        "encoder": noted(captioner.encoder.info, home),
        "tokenizer": None if captioner.tokenizer is None else captioner.tokenizer.kind,
        "language_model": language_model,
        "tags": None
        if reader is None
        else {"prompt": reader.prompt, "thresholds": reader.thresholds, "vocabulary": reader.vocabulary},
        "training": captioner.training,
    }


def load_captioner(
    path: str | Path, encoder: Encoder | None = None, *, among: Sequence[Encoder] = (), **encoder_options: Any
) -> Captioner:
    """Loads a captioner from its folder.

    Args:
        path: folder that `fit_captioner` wrote.
        encoder: the one it was fitted to; None: found automatically, see `load_noted`.
        among: loaded encoders, searched first.
        encoder_options: ``device``, ``batch_size`` ... of `load_encoder`, when ``encoder`` is None.

    Raises:
        InputError: no captioner, damaged files, or another encoder than the captioner's.
    """
    folder = Path(path)
    found = read_description(folder)
    if encoder is None:
        encoder = load_noted(found["encoder"], folder, str(folder), among, **encoder_options)
    check_noted(found["encoder"], encoder, str(folder), "give that one, or fit a captioner again")
    try:
        config = from_dict(CaptionerConfig, found["config"], str(folder / CONFIG))
        tensors = read_tensors(folder / WEIGHTS)
        captioner = Captioner(encoder, config, memory=tensors.get(MEMORY), training=found["training"])
        if found["language_model"] is not None:
            _load_model(captioner, folder, found, tensors)
        if config.method == "nearest":
            captioner.memory_texts = (folder / MEMORY_TEXTS).read_text(encoding="utf-8").split("\n")[:-1]
        if found["tags"] is not None:
            tags = found["tags"]
            captioner.tag_reader = TagReader(encoder, tags["vocabulary"], prompt=tags["prompt"], thresholds=tags["thresholds"])
    except (KeyError, TypeError, RuntimeError, OSError) as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"{folder} is damaged ({reason}); copy the whole folder again or fit it again") from error
    if captioner.memory is not None:
        captioner.memory = captioner.memory.to(encoder.device)
    captioner.info = captioner_info(captioner, folder)
    return captioner


def captioner_info(captioner: Captioner, folder: Path) -> dict[str, Any]:
    """Origin of a captioner, for results."""
    config = captioner.config
    return {
        "path": str(folder),
        "weights_sha256": weights_sha256(folder),
        "method": config.method,
        "text": config.text,
        "prompt": config.prompt,
        "paired": config.paired,
        "encoder": captioner.encoder.info,
    }


def read_description(folder: Path) -> dict[str, Any]:
    """Reads the ``config.json`` of a captioner."""
    path = folder / CONFIG
    if not path.is_file():
        raise InputError(f"{folder} is not a captioner: it has no {CONFIG}; give the folder that `e2 caption fit --out` wrote")
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        kind, written_as = found.get("kind"), found.get("format")
    except (ValueError, AttributeError) as error:
        raise InputError(f"{path} is damaged; copy the whole folder again or fit it again") from error
    if kind != "captioner":
        raise InputError(f"{folder} is not a captioner (an encoder?); give the folder that `e2 caption fit --out` wrote")
    if written_as != FORMAT:
        raise InputError(f"{path} has format {written_as}, this version reads {FORMAT}; use the e2 that wrote it")
    missing = {"config", "encoder", "tokenizer", "language_model", "tags", "training"} - set(found)
    if missing:
        raise InputError(f"{path} is damaged: {', '.join(sorted(missing))} missing; copy the whole folder again")
    return found


def _load_model(captioner: Captioner, folder: Path, found: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
    captioner.tokenizer = load_tokenizer(found["tokenizer"], folder)
    weights = {name.removeprefix(MODEL): tensor for name, tensor in tensors.items() if name.startswith(MODEL)}
    first = "mapper.linear.weight" if captioner.config.mapper == "transformer" else "mapper.model.0.weight"
    language_model = GPT2Model(GPT2Config(**found["language_model"]))
    captioner.model = build_model(captioner.config, weights[first].shape[1], captioner.tokenizer, language_model)
    load_exactly(captioner.model, weights, f"{folder / WEIGHTS} does not fit its config.json")
    captioner.model.to(captioner.encoder.device).eval()

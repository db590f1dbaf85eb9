"""Pushes a trained encoder, with its card, to the Hugging Face hub."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from e2.adapters.encoder import load_encoder
from e2.adapters.export.card import model_card, read_metrics
from e2.adapters.export.checks import without_folders
from e2.adapters.export.writing import FORMATS, export
from e2.backbone_sources import PLACES
from e2.checkpoint import CONFIG, TOKENIZER, WEIGHTS, read_config
from e2.errors import InputError, first_line, require_choice
from e2.files import atomic_path, output_folder
from e2.outputs import LEDGER, OutputKind

PUSHED = ("e2", *FORMATS)


def repository_folder(
    model: Path, repo: str, out: Path, *, format: str = "e2", metrics: Sequence[Path] = (), licence: str | None = None
) -> None:
    """Writes the folder to push.

    Args:
        model: the checkpoint folder of a run.
        repo: ORG/NAME.
        out: a folder that does not exist.
        format: e2 (the checkpoint, for ``e2.load("hf-hub:...")``), onnx, open_clip or transformers.
        metrics: ``metrics.json`` files of this model, for the card.
        licence: of the weights.

    Raises:
        InputError: no checkpoint, a bad name, metrics of another model, or a model that the format cannot hold.
    """
    require_choice("format", format, PUSHED)
    check_name(repo)
    config, records = read_config(model), read_metrics(metrics, model)
    if format == "e2":
        with output_folder(out, OutputKind("a repository folder")) as folder:
            _copy_checkpoint(model, config, folder)
    further = {} if format == "e2" else export(load_encoder(model, device="cpu"), out, format).further
    card = model_card(model, repo, format, metrics=records, licence=licence, own_code=further.get("own_code", False))
    with atomic_path(out / "README.md") as path:
        path.write_text(card, encoding="utf-8")


def check_name(repo: str) -> None:
    """Refuses an invalid repository name."""
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    try:
        validate_repo_id(repo)
    except HFValidationError as error:
        raise InputError(f"--repo {repo}: {first_line(error)}") from error
    if "/" not in repo:
        raise InputError(f"--repo {repo}: write ORG/NAME, e.g. my-shop/fashion-clip")


def upload(folder: Path, repo: str, *, private: bool = False) -> str:
    """Pushes a folder, creating the repository if need be; returns its address."""
    from huggingface_hub import HfApi

    api = HfApi()
    try:
        address = api.create_repo(repo, private=private, exist_ok=True)
        api.upload_folder(repo_id=repo, folder_path=folder, ignore_patterns=[LEDGER], commit_message="e2 push")
    except Exception as error:  # the hub client raises many kinds
        raise InputError(
            f"cannot push to {repo}: {first_line(error)}; log in by `hf auth login`, check name and network"
        ) from error
    return str(address)


def _copy_checkpoint(model: Path, config: dict[str, Any], folder: Path) -> None:
    if not (model / WEIGHTS).is_file():
        raise InputError(f"{model / WEIGHTS} is missing; copy the whole checkpoint folder")
    shutil.copyfile(model / WEIGHTS, folder / WEIGHTS)
    (folder / CONFIG).write_text(json.dumps(without_paths(config), indent=2) + "\n")
    if (model / TOKENIZER).is_dir():
        shutil.copytree(model / TOKENIZER, folder / TOKENIZER)


def without_paths(value: Any) -> Any:
    """Cuts absolute paths in a configuration to their last part: the rest describes a machine, not a model."""
    if isinstance(value, dict):
        return {key: without_paths(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [without_paths(inner) for inner in value]
    return without_folders(value) if isinstance(value, str) and value.startswith(("/", *PLACES)) else value

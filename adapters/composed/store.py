"""Fitted composers on disk: ``composer.json`` and ``mapping.safetensors``, bound to the encoder they were fitted on."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import nn

from e2.accounting import load_exactly
from e2.adapters.composed.mappings import MAPPINGS
from e2.checkpoint import read_tensors
from e2.errors import InputError
from e2.files import output_folder
from e2.outputs import OutputKind, restore
from e2.version import __version__

WEIGHTS, CONFIG = "mapping.safetensors", "composer.json"
FORMAT = 1
COMPOSER = OutputKind("a composer", finished=CONFIG)


@dataclass(frozen=True)
class ComposerRecord:
    """Content of ``composer.json``."""

    method: str
    network: dict[str, Any]  # ``kind`` and the options of the mapping network; empty without one
    encoder: dict[str, Any]  # ``info`` of the encoder it was fitted on
    input: str  # input of the mapping, ``unit`` or ``raw``
    feature_norm: float  # mean length of the encoder's raw features that the mapping was fitted on
    settings: dict[str, Any]  # of the fit
    training: dict[str, Any]
    format: int = FORMAT
    version: str = __version__


def save_composer(
    folder: str | Path, record: ComposerRecord, mapping: nn.Module | None = None, *, overwrite: bool = False
) -> None:
    """Writes a folder, whole or not at all; without a mapping if the record suffices."""
    with output_folder(folder, COMPOSER, overwrite=overwrite) as temporary:
        if mapping is not None:
            tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in mapping.state_dict().items()}
            save_file(tensors, temporary / WEIGHTS, {"format": "pt"})
        (temporary / CONFIG).write_text(json.dumps(asdict(record), indent=2) + "\n", encoding="utf-8")


def read_record(folder: str | Path) -> ComposerRecord:
    """Reads the description of a fitted composer."""
    path = Path(folder) / CONFIG
    restore(path)
    if not path.is_file():
        raise InputError(
            f"{folder} is not a fitted composer: it has no {CONFIG}; give the folder `e2 compose fit --out` wrote"
        )
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        record = ComposerRecord(**content)
        record.encoder["weights_sha256"]
    except (ValueError, TypeError, KeyError) as error:
        raise InputError(f"{path} is damaged or was not written by e2 compose fit; fit again") from error
    if record.format != FORMAT:
        raise InputError(f"{path} has format {record.format}, this version reads {FORMAT}; use the e2 that wrote it")
    return record


def load_mapping(folder: str | Path, record: ComposerRecord) -> nn.Module:
    """Loads the mapping network with its weights."""
    options = dict(record.network)
    try:
        mapping = MAPPINGS[options.pop("kind")](**options)
        load_exactly(mapping, read_tensors(Path(folder) / WEIGHTS), f"{Path(folder) / WEIGHTS} does not fit its {CONFIG}")
    except (KeyError, TypeError, RuntimeError) as error:
        raise InputError(f"{Path(folder) / WEIGHTS} does not fit its {CONFIG}; fit again") from error
    return mapping

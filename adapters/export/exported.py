"""What every export has in common: a new folder, a check against PyTorch, and a record of what was written."""

import json
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from e2.adapters.encoder import Encoder
from e2.errors import InputError
from e2.files import file_sha256
from e2.outputs import restore
from e2.version import __version__

RECORD = "export.json"
TOLERANCE = 1e-4  # largest deviation of a unit vector's component from PyTorch's that an export may show
CHECK_SEED = 0
SAMPLE_TEXTS = ("a red dress", "Nike men's 100% cotton tee, grey & blue", "a", "long " * 100)
FOLDERS = re.compile(r"(?<![^:])/.*/(?=.)")  # of this machine, in a name such as local-dir:/srv/models/clip
PHOTO_RULE = ("size", "mean", "std", "interpolation", "resize_mode", "fill_color")


@dataclass
class Exported:
    """What ``export.json`` says of a folder.

    Attributes:
        format: onnx, open_clip or transformers.
        source: the encoder's ``info``.
        largest_deviation: from PyTorch, over all components of the embeddings that were compared.
        tags: the entities, in the order of the region embeddings.
        embed_dim: D.
        context_length: tokens of a text.
        logit_scale: similarities times it are the logits that training saw.
        further: what only this format has to say.
        loss: settings of the loss that it was trained with, by which tags are read.
        files: name -> bytes.
        sha256: name -> hash of the same files.
    """

    format: str
    source: dict[str, Any]
    largest_deviation: float
    tags: list[str]
    embed_dim: int
    context_length: int
    logit_scale: float
    further: dict[str, Any] = field(default_factory=dict)
    loss: dict[str, Any] = field(default_factory=dict)
    files: dict[str, int] = field(default_factory=dict)
    sha256: dict[str, str] = field(default_factory=dict)
    version: str = __version__

    def write(self, folder: Path) -> None:
        written = {path.relative_to(folder).as_posix(): path for path in files_of(folder)}
        self.files = {name: path.stat().st_size for name, path in written.items()}
        self.sha256 = {name: file_sha256(path) for name, path in written.items()}
        (folder / RECORD).write_text(json.dumps(asdict(self), indent=2) + "\n")


def files_of(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file() and path.name != RECORD)


def read_export(folder: str | Path) -> Exported:
    """The record of an exported folder.

    Raises:
        InputError: there is none, or it is damaged.
    """
    path = Path(folder) / RECORD
    restore(path)
    try:
        return Exported(**json.loads(path.read_text()))
    except OSError as error:
        raise InputError(f"{folder} is no export: it has no {RECORD}; give the folder that `e2 export --out` wrote") from error
    except (ValueError, TypeError, RecursionError) as error:
        raise InputError(f"{path} is damaged or from another version of e2; export again") from error


def describe(encoder: Encoder, format: str, deviation: float, further: dict[str, Any]) -> Exported:
    """The record of an encoder's export."""
    model = encoder.model
    return Exported(
        format=format,
        source={
            **{name: FOLDERS.sub("", str(value)) for name, value in encoder.info.items()},
            "path": Path(str(encoder.info["path"])).name,
        },
        largest_deviation=deviation,
        tags=list(encoder.tags),
        embed_dim=model.clip.encode_text(encoder.tokenizer(["a"]).to(encoder.device)).shape[-1],
        context_length=model.context_length,
        logit_scale=model.logit_scale.exp().item(),
        further=further,
        loss=encoder.loss,
    )


def photo_rule(encoder: Encoder) -> dict[str, Any]:
    """How a photo becomes pixels: ``size`` (height, width), ``mean``, ``std``, ``interpolation``, ``resize_mode``."""
    rule = dict(encoder.model.visual.preprocess_cfg)
    size = rule["size"]
    return {name: rule[name] for name in PHOTO_RULE if name in rule} | {
        "size": [size, size] if isinstance(size, int) else list(size)
    }


def sample_pixels(encoder: Encoder, count: int) -> Tensor:
    """(count, 3, H, W): noise that any tower can be asked about, the same each time."""
    generator = torch.Generator().manual_seed(CHECK_SEED)
    return torch.randn(count, 3, *photo_rule(encoder)["size"], generator=generator)


def sample_tokens(encoder: Encoder) -> Tensor:
    """(4, L): short texts and one that is cut."""
    return encoder.tokenizer(list(SAMPLE_TEXTS))


def largest_deviation(pairs: Iterable[tuple[Any, Any]]) -> float:
    """Over (ours, theirs) of the same shape.

    Raises:
        InputError: it exceeds the tolerance, so what was written must not be used.
    """
    found = [np.abs(np.asarray(a) - np.asarray(b)).max(initial=0.0) for a, b in pairs]
    deviation = float(np.max(found))
    if not deviation <= TOLERANCE:  # not a number counts as too much
        raise InputError(
            f"the export deviates from PyTorch by {deviation:.1e}, more than {TOLERANCE:.0e}, and was not written; "
            "please report the model's configuration"
        )
    return deviation

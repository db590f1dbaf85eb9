"""Record ``export.json`` of an export."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from e2.errors import InputError
from e2.files import file_sha256
from e2.outputs import restore
from e2.version import __version__

RECORD = "export.json"
RULE_FILE = "preprocess.json"  # preprocessing of photos


@dataclass
class Exported:
    """Content of ``export.json``."""

    format: str  # onnx, open_clip or transformers
    source: dict[str, Any]  # the encoder's ``info``
    largest_deviation: float  # from PyTorch, over all components of the compared embeddings
    tags: list[str]  # the entities, in the order of the region embeddings
    embed_dim: int  # D
    context_length: int  # tokens of a text
    logit_scale: float  # factor from similarities to training's logits
    further: dict[str, Any] = field(default_factory=dict)  # facts of this format only
    loss: dict[str, Any] = field(default_factory=dict)  # settings of the training loss, by which tags are read
    taught: list[str] | None = None  # entities whose tags the training contrasted with photos; None: not recorded, ``tags``
    files: dict[str, int] = field(default_factory=dict)  # name -> bytes
    sha256: dict[str, str] = field(default_factory=dict)  # name -> hash of the same files
    version: str = __version__

    def write(self, folder: Path) -> None:
        files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != RECORD)
        written = {path.relative_to(folder).as_posix(): path for path in files}
        self.files = {name: path.stat().st_size for name, path in written.items()}
        self.sha256 = {name: file_sha256(path) for name, path in written.items()}
        (folder / RECORD).write_text(json.dumps(asdict(self), indent=2) + "\n")


def read_export(folder: str | Path) -> Exported:
    """Reads the record of an exported folder."""
    path = Path(folder) / RECORD
    restore(path)
    try:
        return Exported(**json.loads(path.read_text()))
    except OSError as error:
        raise InputError(
            f"{folder} is not an export: it has no {RECORD}; give the folder that `e2 export --out` wrote"
        ) from error
    except (ValueError, TypeError, RecursionError) as error:
        raise InputError(f"{path} is damaged or from another version of e2; export again") from error

"""Looks for what a command line names before the packages that run it, PyTorch above all, take seconds to load."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from e2.errors import InputError, printable
from e2.outputs import restore

ELSEWHERE = ("boutique", "hf", "hf-stream", "webdataset")  # kinds of data that name no file, or several
IN_FOLDERS = ("local-dir:", "transformers:", "onnx:", "onnx-int8:")  # kinds of encoders that name their folder
ENCODERS = ("open_clip:", "pair:", "hf-hub:", *IN_FOLDERS)
ALLOWED = (
    "an E2 checkpoint folder (or its last.safetensors), open_clip:MODEL, open_clip:MODEL/PRETRAINED, open_clip:MODEL/FILE, "
    "local-dir:FOLDER, transformers:FOLDER, pair:IMAGE+TEXT, onnx:FOLDER, onnx-int8:FOLDER or hf-hub:ORG/NAME"
)


def require_data(spec: str) -> None:
    """Refuses data that is not there; data elsewhere (on a hub) is not looked for."""
    kind, _, argument = spec.partition(":")
    if kind in ELSEWHERE or "://" in spec or any(name and Path(name).expanduser().exists() for name in (spec, argument)):
        return
    from e2.data import splits_of

    splits_of(spec)


def require_encoder(name: str) -> None:
    """Refuses an encoder that is neither a folder, nor a weights file, nor of a kind that a prefix names.

    Whether a hub or open_clip knows it is not looked for.
    """
    folder = name.partition(":")[2] if name.startswith(IN_FOLDERS) else name
    restore(Path(folder))
    if folder != name and not Path(folder).is_dir():
        raise InputError(f"encoder {name}: there is no folder {printable(folder)}")
    weights = name.endswith(".safetensors") and Path(name).is_file()
    if not (name.startswith(ENCODERS) or weights or Path(name).is_dir()):
        raise InputError(f"no encoder {name!r}: give {ALLOWED}")


def require_folder(name: str) -> None:
    """Refuses a folder of e2's that is not there; an address is not looked for."""
    restore(Path(name))
    if "://" not in name and not Path(name).exists():
        raise InputError(f"there is no folder {printable(name)}; give the --out of the command that wrote it")


REQUIRED: Mapping[str, Callable[[str], None]] = {  # option -> what looks for its value
    **dict.fromkeys(("spec", "data", "old_data"), require_data),
    **dict.fromkeys(("model", "encoder"), require_encoder),
    **dict.fromkeys(("captioner", "composer", "index"), require_folder),
}


def require_named(options: Mapping[str, Any]) -> None:
    """Looks for the data, the encoder and folders of e2's among the options of a command.

    Raises:
        InputError: one is not there.
    """
    for name, require in REQUIRED.items():
        value = options.get(name)
        for each in value if isinstance(value, list | tuple) else [value]:
            if isinstance(each, Path) and require is require_encoder:
                require_folder(str(each))  # what takes folders alone
            elif isinstance(each, str | Path):
                require(str(each))

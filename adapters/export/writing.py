"""Exports an encoder to a new folder in a foreign format, and loads that folder as an encoder."""

import importlib
from pathlib import Path
from typing import Any

from e2.adapters.encoder import Encoder, load_encoder
from e2.adapters.export.checks import photo_rule
from e2.adapters.export.readme import readme
from e2.adapters.export.record import Exported, read_export
from e2.errors import InputError, require_choice
from e2.files import output_folder
from e2.outputs import OutputKind, claim

EXPORT = OutputKind("an export", finished="export.json")
FORMATS = ("onnx", "open_clip", "transformers")
OPTIONS = {"int8": "onnx", "backbone_only": "open_clip"}  # option -> its format


def export(encoder: Encoder, out: str | Path, format: str, *, overwrite: bool = False, **options: bool) -> Exported:
    """Writes a folder, whole or not at all, checked against PyTorch.

    Args:
        encoder: an E2 or any open_clip model; it ends up on the CPU.
        format: onnx, open_clip or transformers.
        options: ``int8`` of :func:`write_onnx`, ``backbone_only`` of :func:`write_open_clip`.

    Raises:
        InputError: unknown format, an option of another format, a folder that holds something, a model that the format cannot
            hold, or an encoder that is an export itself.
    """
    out = Path(out)
    chosen = {name: True for name, value in options.items() if value}
    check_format(format, chosen)
    if "runtime" in encoder.info:
        raise InputError(f"{encoder.info['path']} is an export itself; give the checkpoint that it was made from")
    claim(out, EXPORT, overwrite=overwrite, remove=False)
    with output_folder(out, EXPORT, overwrite=overwrite) as folder:
        exported = _writer(format)(encoder, folder, **chosen)
        (folder / "README.md").write_text(readme(exported, photo_rule(encoder), out.name), encoding="utf-8")
        exported.write(folder)
    return exported


def check_format(format: str, options: dict[str, Any]) -> None:
    """Refuses an unknown format, and options of another format."""
    require_choice("format", format, FORMATS)
    for name in options:
        if OPTIONS[name] != format:
            raise InputError(f"--{name.replace('_', '-')} belongs to --format {OPTIONS[name]}")


def _writer(format: str):
    """Function ``write_FORMAT`` of module ``FORMAT_folder``: imported only now, as its packages may be missing."""
    return getattr(importlib.import_module(f"e2.adapters.export.{format}_folder"), f"write_{format}")


def load_exported(folder: str | Path, **options: Any) -> list[Encoder]:
    """Loads an export as encoders, read by the program that it is for; two for ONNX with int8 graphs.

    Args:
        options: of :class:`Encoder`.

    Raises:
        InputError: no export, or its program is not installed.
    """
    record = read_export(folder)
    if record.format == "onnx":
        kept = {name: value for name, value in options.items() if name in ("batch_size", "workers")}
        kinds = ("onnx", "onnx-int8") if "int8" in record.further else ("onnx",)
        return [load_encoder(f"{kind}:{folder}", **kept) for kind in kinds]
    if record.format == "transformers":
        from e2.adapters.export.transformers_encoder import load_transformers

        return [load_transformers(folder, **options)]
    return [load_encoder(f"local-dir:{folder}", **options)]

"""Where an encoder lies, noted so that what was made with it finds it again from any folder, and after both moved together."""

import os
import re
from pathlib import Path
from typing import Any

from adapters.encoder import Encoder, load_encoder
from e2.errors import InputError

PREFIXED = re.compile(r"(local-dir:|transformers:|onnx:|onnx-int8:|open_clip:[^/]*/)?(.*)", re.DOTALL)


def noted(info: dict[str, Any], folder: Path | None) -> dict[str, Any]:
    """An encoder's ``info`` with its ``places``, where it is one of files: the name under which it loads from anywhere.

    Args:
        info: of an `Encoder`.
        folder: that the result is kept in, to which the first place is relative; None: none.
    """
    prefix, path = PREFIXED.fullmatch(str(info["path"])).groups(default="")  # type: ignore[union-attr] # anything matches
    if not path or not os.path.exists(path):  # a name that packages or the hub know
        return info
    whole = os.path.abspath(path)
    relative = [prefix + os.path.relpath(whole, os.path.abspath(folder))] if folder else []
    return {**info, "places": [*relative, prefix + whole]}


def load_noted(info: dict[str, Any], folder: Path | None, name: str | None = None, **options: Any) -> Encoder:
    """The encoder that was noted, from wherever it is found with the same weights.

    Args:
        info: as `noted` gave it.
        folder: that it is kept in now.
        name: where it lies now, to look nowhere else.
        options: of `load_encoder`.

    Raises:
        InputError: it is nowhere, or what is there has other weights.
    """
    if name:
        return load_encoder(name, **options)
    problems = []
    for place in dict.fromkeys([*(_from(place, folder) for place in info.get("places", ())), info["path"]]):
        try:
            found = load_encoder(place, **options)
        except InputError as error:
            problems.append(str(error))
            continue
        if found.info["weights_sha256"] == info["weights_sha256"]:
            return found
        problems.append(f"{place} has other weights than when it was used")
    raise InputError(f"{problems[-1]}; say where the encoder lies now by --encoder")


def _from(place: str, folder: Path | None) -> str:
    """A place, with what is relative to the folder seen from here."""
    prefix, path = PREFIXED.fullmatch(place).groups(default="")  # type: ignore[union-attr] # anything matches
    return prefix + (os.path.normpath(folder / path) if folder else path)

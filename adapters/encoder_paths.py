"""Records, finds and checks the encoder that a captioner, a composer or an index was made with.

Its path is recorded relative to the product's folder and in full, so that it is found from any working directory, and after
both moved together. The hash of its weights decides: any encoder with the same hash will do.
"""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from e2.adapters.encoder import Encoder, load_encoder
from e2.errors import InputError

PREFIXED = re.compile(r"(local-dir:|transformers:|onnx:|onnx-int8:|open_clip:[^/]*/)?(.*)", re.DOTALL)


def noted(info: dict[str, Any], folder: Path | None) -> dict[str, Any]:
    """Adds ``places`` to an encoder's ``info`` if it has files: names under which it loads from anywhere.

    Args:
        info: of an `Encoder`.
        folder: folder made with it, to which the first one is relative; None: none.
    """
    prefix, path = _split(str(info["path"]))
    if not path or not os.path.exists(path):  # a name that packages or the hub know
        return info
    whole = os.path.abspath(path)
    relative = [prefix + os.path.relpath(whole, os.path.abspath(folder))] if folder else []
    return {**info, "places": [*relative, prefix + whole]}


def load_noted(
    info: Mapping[str, Any], folder: Path | None, holder: str, among: Sequence[Encoder] = (), **options: Any
) -> Encoder:
    """Loads the recorded encoder from wherever it is found with the same weights.

    Args:
        info: result of `noted`.
        folder: folder made with it, at its present path.
        holder: its name in messages.
        among: loaded encoders, used if one has these weights.
        options: of `load_encoder`.
    """
    for encoder in among:
        if _weights(encoder.info) == _weights(info):
            return encoder
    problem = "its path was not recorded"
    for name in dict.fromkeys(_names(info, folder)):
        try:
            found = load_encoder(name, **options)
        except InputError as error:
            problem = str(error)
            continue
        if _weights(found.info) == _weights(info):
            return found
        problem = f"{name} has other weights than when it was used"
    raise InputError(f"the encoder of {holder} is not found: {problem}; give its path by --encoder")


def check_noted(info: Mapping[str, Any], encoder: Encoder, holder: str, remedy: str) -> None:
    """Refuses an encoder with other weights.

    Args:
        info: result of `noted`.
        holder: what was made with the recorded one, for the message.
        remedy: what to do, for the message.
    """
    if _weights(info) != _weights(encoder.info):
        raise InputError(f"{holder} was made with {_shown(info)}, not with {_shown(encoder.info)}; {remedy}")


def _names(info: Mapping[str, Any], folder: Path | None) -> Iterator[str]:
    """Yields the names to try, relative ones resolved; a file may say anything."""
    names = info.get("places")
    for name in names if isinstance(names, list) else ():
        prefix, path = _split(str(name))
        yield prefix + (os.path.normpath(folder / path) if folder else path)
    if info.get("path"):
        yield str(info["path"])


def _split(name: str) -> tuple[str, str]:
    """Splits an encoder's name into prefix and path."""
    prefix, path = PREFIXED.fullmatch(name).groups(default="")  # type: ignore[union-attr] # anything matches
    return prefix, path


def _weights(info: Mapping[str, Any]) -> str:
    return str(info.get("weights_sha256"))


def _shown(info: Mapping[str, Any]) -> str:
    return f"{info.get('path')} ({_weights(info)[:12]})"

"""The encoder that a captioner, a composer or an index was made with: noted, found again, and told from others.

Its place is noted as seen from the folder of what was made with it, and in full: so it is found from any working directory,
and after both moved together. The hash of its weights decides: any encoder that has the same will do.
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
    """An encoder's ``info`` with its ``places``, where it is one of files: the names under which it loads from anywhere.

    Args:
        info: of an `Encoder`.
        folder: that is made with it, to which the first place is relative; None: none.
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
    """The encoder that was noted, from wherever it is found with the same weights.

    Args:
        info: as `noted` gave it.
        folder: that was made with it, where it lies now.
        holder: what messages call that.
        among: encoders at hand, of which one is taken if it has these weights.
        options: of `load_encoder`.

    Raises:
        InputError: it is nowhere, or what is there has other weights.
    """
    for encoder in among:
        if _weights(encoder.info) == _weights(info):
            return encoder
    problem = "its place was not noted"
    for place in dict.fromkeys(_places(info, folder)):
        try:
            found = load_encoder(place, **options)
        except InputError as error:
            problem = str(error)
            continue
        if _weights(found.info) == _weights(info):
            return found
        problem = f"{place} has other weights than when it was used"
    raise InputError(f"the encoder of {holder} is not found: {problem}; say where it lies now by --encoder")


def check_noted(info: Mapping[str, Any], encoder: Encoder, holder: str, remedy: str) -> None:
    """Refuses an encoder whose embeddings mean something else.

    Args:
        info: as `noted` gave it.
        encoder: to be used.
        holder: what was made with the noted one, for the message.
        remedy: what to do, for the message.

    Raises:
        InputError: its weights have another hash.
    """
    if _weights(info) != _weights(encoder.info):
        raise InputError(f"{holder} was made with {_shown(info)}, not with {_shown(encoder.info)}; {remedy}")


def _places(info: Mapping[str, Any], folder: Path | None) -> Iterator[str]:
    """The names to try, with what is relative to the folder seen from here; a file may say anything."""
    places = info.get("places")
    for place in places if isinstance(places, list) else ():
        prefix, path = _split(str(place))
        yield prefix + (os.path.normpath(folder / path) if folder else path)
    if info.get("path"):
        yield str(info["path"])


def _split(name: str) -> tuple[str, str]:
    """An encoder's name as what stands before a path, and the path."""
    prefix, path = PREFIXED.fullmatch(name).groups(default="")  # type: ignore[union-attr] # anything matches
    return prefix, path


def _weights(info: Mapping[str, Any]) -> str:
    return str(info.get("weights_sha256"))


def _shown(info: Mapping[str, Any]) -> str:
    return f"{info.get('path')} ({_weights(info)[:12]})"

"""Annotation files and photo folders as data sets publish them, with what is missing named and counted."""

import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from e2.errors import InputError

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")
MISSING = ("error", "skip")


def find_annotation(folder: Path, *places: str) -> Path:
    """The first of several places below a folder where a file may lie.

    Raises:
        InputError: it lies in none.
    """
    for place in places:
        if (folder / place).is_file():
            return folder / place
    raise InputError(f"{folder} holds no {places[0]}; give the folder of the published annotations by --annotations")


def read_json(path: Path, kind: type) -> Any:
    """A JSON file with a list or an object at its top.

    Raises:
        InputError: it is no JSON, or something else is at its top.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read as JSON ({error}); get it again from its publisher") from error
    if not isinstance(content, kind):
        raise InputError(f"{path} should hold a JSON {'list' if kind is list else 'object'}; get it again from its publisher")
    return content


def required(entry: Any, name: str, kind: type, where: str) -> Any:
    """A field of an annotation entry.

    Raises:
        InputError: it is absent or of another kind; the message says in which entry.
    """
    value = entry.get(name) if isinstance(entry, dict) else None
    if not isinstance(value, kind):
        raise InputError(f"{where}: {name!r} is missing or no {kind.__name__}; get the file again from its publisher")
    return value


def photos_by_name(folder: Path) -> dict[str, Path]:
    """Name without its suffix -> path, of all photos in a folder and the folders below; one pass, no file is opened.

    Raises:
        InputError: no such folder, or no photo in it.
    """
    if not folder.is_dir():
        raise InputError(f"no folder {folder}; give the photos' folder by --images")
    found = {
        Path(name).stem: Path(place) / name
        for place, _, names in os.walk(folder, followlinks=True)
        for name in sorted(names, reverse=True)  # of two suffixes the first in the alphabet stays
        if name.lower().endswith(SUFFIXES)
    }
    if not found:
        raise InputError(f"{folder} holds no photos ({', '.join(SUFFIXES)}); give the photos' folder by --images")
    return found


def present(wanted: Iterable[str], paths: dict[str, Path], missing: str, folder: Path) -> list[str]:
    """Those names whose photo is there, in their order.

    Args:
        wanted: names.
        paths: name -> photo.
        missing: ``error`` refuses missing photos, ``skip`` leaves them out.
        folder: for the message.

    Raises:
        InputError: missing photos under ``error``, or none of them is there.
    """
    check_missing(missing)
    wanted = list(wanted)
    here = [name for name in wanted if name in paths]
    if len(here) < len(wanted) and missing == "error" or not here:
        first = next(name for name in wanted if name not in paths)
        raise InputError(
            f"{folder} lacks {len(wanted) - len(here):,} of {len(wanted):,} photos, {first} for one; "
            "complete it, or measure on what is there by --missing skip"
        )
    return here


def check_counts(what: str, found: int, published: int | None, missing: str) -> None:
    """Refuses annotations that are not the published ones: a dropped query changes every figure.

    Raises:
        InputError: another number under ``error``; ``skip`` lets it pass (it stands in the result's coverage).
    """
    if published is not None and found != published and missing == "error":
        raise InputError(
            f"{what}: {found:,} in these annotations, {published:,} as published; "
            "get them again, or measure on what is there by --missing skip"
        )


def check_missing(missing: str) -> None:
    if missing not in MISSING:
        raise InputError(f"unknown --missing {missing!r}; choose {' or '.join(MISSING)}")


def coverage(found: Sequence[Any], published: int | None, annotated: int) -> dict[str, int | None]:
    """How many are measured on, stand in the annotations, and were published (None: not known)."""
    return {"used": len(found), "annotated": annotated, "published": published}

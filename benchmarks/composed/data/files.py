"""Reads annotation files and photo folders as data sets publish them."""

import os
import re
from pathlib import Path
from typing import Any

from e2.errors import InputError, first_line, printable
from e2.json_once import RepeatedKey, loads_once

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")
MISSING = ("error", "skip")


def find_annotation(folder: Path, *places: str) -> Path:
    """Finds the first of several possible paths of a file below a folder.

    Raises:
        InputError: none exists.
    """
    for place in places:
        if (folder / place).is_file():
            return folder / place
    raise InputError(f"{folder} holds no {places[0]}; give the folder of the published annotations by --annotations")


def read_json(path: Path, kind: type) -> Any:
    """Reads a JSON file with a list or an object at its top.

    Raises:
        InputError: it is not JSON, or something else is at its top.
    """
    try:
        content = loads_once(path.read_text(encoding="utf-8-sig"))
    except RepeatedKey as error:
        raise InputError(f"{path} names {printable(str(error))!r} twice; get it again from its publisher") from error
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path} cannot be read as JSON ({first_line(error)}); get it again from its publisher") from error
    if not isinstance(content, kind):
        raise InputError(f"{path} should hold a JSON {'list' if kind is list else 'object'}; get it again from its publisher")
    return content


def required(entry: Any, name: str, kind: type, where: str) -> Any:
    """Returns a field of an annotation entry.

    Raises:
        InputError: it is absent or of another kind; the message names the entry.
    """
    value = entry.get(name) if isinstance(entry, dict) else None
    if not isinstance(value, kind):
        raise InputError(f"{where}: {name!r} is missing or no {kind.__name__}; get the file again from its publisher")
    return value


def required_id(entry: Any, name: str, where: str) -> str:
    """Returns an id field of an annotation entry, a number or a string of digits.

    Raises:
        InputError: it is absent, or neither.
    """
    return number_text(entry.get(name) if isinstance(entry, dict) else None, f"{where}: {name!r}")


def number_text(value: Any, what: str) -> str:
    """Normalises ``17``, ``"17"`` and ``"000017"`` to ``"17"``.

    Raises:
        InputError: it is not a whole number; ``what`` begins the message.
    """
    if isinstance(value, bool) or not (isinstance(value, int) or re.fullmatch(r"\d{1,19}", str(value))):
        raise InputError(f"{what} is missing or no whole number; get the file again from its publisher")
    return str(int(value))


def texts_of(values: Any, what: str) -> list[str]:
    """Checks a list of strings.

    Raises:
        InputError: it is no such list; ``what`` begins the message.
    """
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise InputError(f"{what} is not a list of texts; get the file again from its publisher")
    return values


def read_lines(path: Path) -> list[str]:
    """Reads the lines of a text file.

    Raises:
        InputError: it is not UTF-8 text, or cannot be read.
    """
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read ({first_line(error)}); get it again from its publisher") from error


def photos_by_name(folder: Path) -> dict[str, Path]:
    """Maps names without suffix to paths, for all photos in and below a folder, without opening them.

    Raises:
        InputError: no such folder, or no photo in it.
    """
    if not folder.is_dir():
        raise InputError(f"no folder {folder}; give the photos' folder by --images")
    found = {
        Path(name).stem: Path(place) / name
        for place, _, names in os.walk(folder, followlinks=True)
        for name in sorted(names, reverse=True)  # of two suffixes, the alphabetically first is kept
        if name.lower().endswith(SUFFIXES)
    }
    if not found:
        raise InputError(f"{folder} holds no photos ({', '.join(SUFFIXES)}); give the photos' folder by --images")
    return found


def check_counts(what: str, found: int, published: int | None, missing: str) -> None:
    """Refuses annotations that differ from the published ones: a dropped query changes every metric.

    Raises:
        InputError: another number under ``error``; ``skip`` accepts it (see the result's coverage).
    """
    if published is not None and found != published and missing == "error":
        raise InputError(
            f"{what}: {found:,} in these annotations, {published:,} as published; "
            "get them again, or evaluate on what is there by --missing skip"
        )


def check_missing(missing: str) -> None:
    if missing not in MISSING:
        raise InputError(f"unknown --missing {missing!r}; choose {' or '.join(MISSING)}")

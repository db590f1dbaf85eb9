"""Captions that `e2 evaluate captioning` writes with their scores."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from e2.adapters.captioning.files import json_line
from e2.errors import InputError
from e2.files import atomic_path

NAME = "captions.jsonl"


def write_rows(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    """Writes jsonl, whole or not at all."""
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        file.writelines(map(json_line, rows))


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Reads the rows that `write_rows` wrote.

    Raises:
        InputError: the file is missing or damaged.
    """
    try:
        return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read {path}: {error}; make it by e2 evaluate captioning --out") from error

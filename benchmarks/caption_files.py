"""The captions that `e2 evaluate captioning` writes with their scores."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from e2.errors import InputError
from e2.files import atomic_path

NAME = "captions.jsonl"


def write_rows(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    """Writes jsonl, whole or not at all. Line separators inside texts are escaped: some readers break lines at them."""
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        for row in rows:
            line = json.dumps(row, ensure_ascii=False, allow_nan=False)
            for separator in "\x85\u2028\u2029":
                line = line.replace(separator, f"\\u{ord(separator):04x}")
            file.write(line.encode("utf-8", "backslashreplace").decode() + "\n")  # surrogates come as \udXXX, JSON's own way


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The rows that `write_rows` wrote.

    Raises:
        InputError: the file is missing or damaged.
    """
    try:
        return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read {path}: {error}; make it by e2 evaluate captioning --out") from error

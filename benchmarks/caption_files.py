"""Captions on disk: read as made anywhere, written with their scores."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from e2.errors import InputError
from e2.files import atomic_path

NAME = "captions.jsonl"
IDS = ("product_id", "image_id", "id")


def read_captions(path: str | Path) -> dict[str, str]:
    """Product id -> caption, from jsonl rows or a JSON list of ``{"product_id": ..., "caption": ...}`` (COCO's ``image_id``
    is understood), or from a JSON object ``{"id": "caption"}``.

    A row with an ``error`` and no caption (as `e2 caption write` notes a photo that cannot be read) is an empty caption.

    Raises:
        InputError: no such file, not UTF-8, not such JSON, an id twice, no captions.
    """
    captions: dict[str, str] = {}
    for number, (product_id, caption) in enumerate(_pairs(Path(path)), start=1):
        if not isinstance(caption, str) or isinstance(product_id, dict | list | bool | None):
            raise InputError(f"{path}, entry {number}: give a product_id and one caption, a string, in each")
        if str(product_id) in captions:
            raise InputError(f"{path}, entry {number}: product {product_id} has a second caption; give one for each")
        captions[str(product_id)] = caption
    if not captions:
        raise InputError(f"{path} holds no captions")
    return captions


def _pairs(path: Path) -> Iterable[tuple[Any, Any]]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}; give --captions a jsonl or json file") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8 text; save it as UTF-8") from error
    rows = _rows(text, path)
    if isinstance(rows, dict):
        return rows.items()
    return [_pair(row) for row in rows]


def _rows(text: str, path: Path) -> Any:
    """The content of a JSON file, or the rows of a jsonl file (one that has a second line of its own)."""
    try:
        found = json.loads(text)
        # One row of jsonl is a JSON object as well.
        return [found] if isinstance(found, dict) and "caption" in found and set(found) & set(IDS) else found
    except ValueError:
        pass
    rows = []
    for number, line in enumerate(text.split("\n"), start=1):
        try:
            rows += [json.loads(line)] if line.strip() else []
        except ValueError as error:
            raise InputError(f"{path}, line {number}: this is not JSON; write one object a line") from error
    return rows


def _pair(row: Any) -> tuple[Any, Any]:
    if not isinstance(row, dict):
        return None, None
    caption = row.get("caption", "" if row.get("error") else None)
    return next((row[name] for name in IDS if name in row), None), "" if caption is None and row.get("error") else caption


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

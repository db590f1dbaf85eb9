"""Reads results of `e2 evaluate captioning`: captioners' scores and captions of the same products."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from e2.benchmarks.captioning import files as caption_files
from e2.benchmarks.core.names import ends
from e2.benchmarks.core.records import NAME
from e2.errors import InputError

ALIKE = ("dataset", "split", "text", "n", "tokenizer")  # must agree for runs to be comparable


@dataclass(frozen=True)
class CaptionRun:
    """A captioner's ``metrics.json`` and ``captions.jsonl``, with a unique ``name``."""

    name: str
    record: dict[str, Any]
    rows: list[dict[str, Any]]

    def values(self, metric: str) -> np.ndarray:
        """Scores (P,) of the single captions."""
        return np.array([row["scores"][metric] for row in self.rows])


def read_runs(folders: Sequence[Path]) -> tuple[list[CaptionRun], list[dict[str, Any]]]:
    """Reads the runs in all folders, with paired differences of those evaluated together.

    Raises:
        InputError: no results there, or runs of different products, references or tokenizers.
    """
    differences, single = [], []
    for folder in map(Path, folders):
        if (folder / "comparison.json").is_file():
            differences += _json(folder / "comparison.json")["differences"]
            parts = sorted(folder.glob(f"*/{NAME}"), key=lambda path: int(path.parent.name.partition("_")[0]))
            single += [path.parent for path in parts]
        else:
            single.append(folder)
    if not single:
        raise InputError("give --results one or several folders of e2 evaluate captioning --out")
    records = [_json(folder / NAME) for folder in single]
    rows = [caption_files.read_rows(folder / caption_files.NAME) for folder in single]
    for folder, record, captions in zip(single, records, rows, strict=True):
        if record.get("benchmark") != "captioning" or not captions or "scores" not in captions[0]:
            raise InputError(f"{folder} holds no scored captions; make them by e2 evaluate captioning --out {folder}")
        _check_alike(folder, record, captions, single[0], records[0], rows[0])
    names = ends([record["model"]["path"] for record in records])
    return [CaptionRun(*parts) for parts in zip(names, records, rows, strict=True)], differences


def _check_alike(folder: Path, record: dict, rows: list, first: Path, first_record: dict, first_rows: list) -> None:
    differing = [key for key in ALIKE if record[key] != first_record[key]]
    if [row["product_id"] for row in rows] != [row["product_id"] for row in first_rows]:
        differing.append("products")
    if differing:
        raise InputError(f"{folder} and {first} differ in {', '.join(differing)}; compare runs on the same products only")


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read {path}: {error}; give --results folders of e2 evaluate captioning --out") from error

"""Notes on scored captions, for the terminal and the report."""

from collections.abc import Mapping
from typing import Any


def notes_of(records: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Lists what the records of named captioners note, and why metrics are missing; a note of some names them."""
    noted: dict[str, list[str]] = {}
    for name, record in records.items():
        for note in [*(f"no {metric}: {why}" for metric, why in record["missing"].items()), *record["notes"]]:
            noted.setdefault(note, []).append(name)
    return [note if len(names) == len(records) else f"{', '.join(names)}: {note}" for note, names in noted.items()]

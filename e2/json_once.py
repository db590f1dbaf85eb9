"""Reads JSON whose objects name each key once; JSON readers would silently take the last one."""

import json
from typing import Any


class RepeatedKey(ValueError):
    """A key that occurs twice in one JSON object; the message is the key."""


def loads_once(text: str) -> Any:
    """Parses JSON.

    Raises:
        RepeatedKey: an object names a key twice.
        ValueError, RecursionError: as `json.loads`.
    """
    return json.loads(text, object_pairs_hook=_object)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise RepeatedKey(key)
        found[key] = value
    return found

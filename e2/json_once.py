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
    return json.loads(text, object_pairs_hook=object_once)


def object_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Makes a dictionary of an object's keys and values: the ``object_pairs_hook`` of a decoder.

    Raises:
        RepeatedKey: a key occurs twice.
    """
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        raise RepeatedKey(next(key for key, _ in pairs if key in seen or seen.add(key)))
    return found

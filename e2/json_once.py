"""Reads JSON whose objects name each key once; JSON readers would silently take the last one."""

import json
from collections.abc import Iterable
from typing import Any


class RepeatedKey(ValueError):
    """A key that occurs twice in one object; the message is the key."""


class Doubled(dict[str, Any]):
    """An object that names a key twice, with the last value of each.

    Attributes:
        key: the first that is repeated.
    """

    def __init__(self, pairs: list[tuple[str, Any]]):
        super().__init__(pairs)
        self.key = first_repeated(name for name, _ in pairs) or ""


def first_repeated(names: Iterable[str]) -> str | None:
    """First name that occurs a second time."""
    seen: set[str] = set()
    for name in names:
        if name in seen:
            return name
        seen.add(name)
    return None


def loads_once(text: str | bytes) -> Any:
    """Parses JSON.

    Raises:
        RepeatedKey: an object names a key twice.
        ValueError, RecursionError: as `json.loads`.
    """
    return json.loads(text, object_pairs_hook=object_once)


def loads_marked(text: str | bytes) -> Any:
    """Parses JSON as `json.loads` does, but for objects that name a key twice, which are `Doubled`."""
    return json.loads(text, object_pairs_hook=_marked)


def doubled_key(value: Any) -> str | None:
    """First key that is named twice in what `loads_marked` found, at any depth."""
    if isinstance(value, Doubled):
        return value.key
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return next((key for each in inner if (key := doubled_key(each)) is not None), None)


def object_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Makes a dictionary of an object's keys and values: the ``object_pairs_hook`` of a decoder.

    Raises:
        RepeatedKey: a key occurs twice.
    """
    found = _marked(pairs)
    if isinstance(found, Doubled):
        raise RepeatedKey(found.key)
    return found


def _marked(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    return found if len(found) == len(pairs) else Doubled(pairs)

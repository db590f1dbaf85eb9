"""How figures and pages call a catalogue; the whole SPEC stands in the tables."""

from collections.abc import Iterable, Mapping
from pathlib import PurePath
from typing import Any


def short_name(spec: str) -> str:
    """The kind of a SPEC, or the last part of a path.

    >>> [short_name(spec) for spec in ("/data/fashion-products", "boutique:seed=1,size=80", "fashiongen:/data/fg", "a.csv")]
    ['fashion-products', 'boutique', 'fashiongen', 'a.csv']
    """
    kind, colon, _ = spec.partition(":")
    return kind if colon and "/" not in kind else PurePath(spec).name or spec


def short_names(specs: Iterable[str]) -> list[str]:
    """The same of several; as given if two were alike."""
    specs = list(specs)
    names = [short_name(spec) for spec in specs]
    return names if len(set(names)) == len(names) else specs


def measured_on(record: Mapping[str, Any]) -> str:
    """``boutique, test``: catalogue and split of a record."""
    return f"{short_name(record['dataset'])}, {record['split']}"

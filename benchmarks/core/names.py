"""How tables, figures and pages call catalogues and encoders: shortly, unless two would then be called alike."""

from collections.abc import Iterable, Mapping, Sequence
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
    """The same of several."""
    specs = list(specs)
    return distinct([short_name(spec) for spec in specs], specs)


def ends(paths: Sequence[str]) -> list[str]:
    """The last part of each encoder's path."""
    return distinct([path.rstrip("/").rpartition("/")[2] for path in paths], paths)


def distinct(short: list[str], whole: Sequence[str]) -> list[str]:
    """The short names, or the whole ones if two of the short were alike."""
    return short if len(set(short)) == len(short) else list(whole)


def measured_on(record: Mapping[str, Any]) -> str:
    """``boutique, test``: catalogue and split of a record."""
    return f"{short_name(record['dataset'])}, {record['split']}"

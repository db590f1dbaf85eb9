"""Short names of catalogues and encoders for tables, figures and pages, unless ambiguous."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePath
from typing import Any


def short_name(spec: str) -> str:
    """Shortens a SPEC to its kind, or a path to its last part.

    >>> [short_name(spec) for spec in ("/data/fashion-products", "boutique:seed=1,size=80", "fashiongen:/data/fg", "a.csv")]
    ['fashion-products', 'boutique', 'fashiongen', 'a.csv']
    """
    kind, colon, _ = spec.partition(":")
    return kind if colon and "/" not in kind else PurePath(spec).name or spec


def short_names(specs: Iterable[str]) -> list[str]:
    """Shortens several SPECs."""
    specs = list(specs)
    return distinct([short_name(spec) for spec in specs], specs)


def ends(paths: Sequence[str]) -> list[str]:
    """Last part of each encoder's path."""
    return distinct([path.rstrip("/").rpartition("/")[2] for path in paths], paths)


def distinct(short: list[str], whole: Sequence[str]) -> list[str]:
    """Returns the short names, or the whole ones if two of the short are equal."""
    return short if len(set(short)) == len(short) else list(whole)


def measured_on(record: Mapping[str, Any]) -> str:
    """Catalogue and split of a record: ``boutique, test``."""
    return f"{short_name(record['dataset'])}, {record['split']}"

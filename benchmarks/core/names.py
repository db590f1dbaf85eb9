"""Short names of catalogues and encoders for tables, figures and pages, unless ambiguous."""

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePath
from typing import Any

HASH = re.compile(r"^[0-9a-f]{12}-(?=.)")  # of a training's settings, see `e2.benchmarks.studies.runs`


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
    """Last part of each encoder's path, without the hash that begins the folders of a study's trainings; repeats are numbered.

    >>> ends(["runs/study/0f3a5b7c9d1e-e2-0", "runs/study/a1b2c3d4e5f6-clip-0", "open_clip:ViT-B-32/openai"])
    ['e2-0', 'clip-0', 'openai']
    >>> ends(["runs/0f3a5b7c9d1e-e2-0", "runs/a1b2c3d4e5f6-e2-0"]), ends(["a/e2", "b/e2"])
    (['e2-0 (1)', 'e2-0 (2)'], ['a/e2', 'b/e2'])
    """
    last = distinct([path.rstrip("/").rpartition("/")[2] for path in paths], paths)
    plain = [HASH.sub("", name) for name in last]
    return plain if len(set(plain)) == len(plain) else [_numbered(plain, place) for place in range(len(plain))]


def _numbered(names: Sequence[str], place: int) -> str:
    name = names[place]
    return f"{name} ({names[: place + 1].count(name)})" if names.count(name) > 1 else name


def distinct(short: list[str], whole: Sequence[str]) -> list[str]:
    """Returns the short names, or the whole ones if two of the short are equal."""
    return short if len(set(short)) == len(short) else list(whole)


def measured_on(record: Mapping[str, Any]) -> str:
    """Catalogue and split of a record: ``boutique, test``."""
    return f"{short_name(record['dataset'])}, {record['split']}"

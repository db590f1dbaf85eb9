"""Draws pairs of products that are equal in all but some tags, from a catalogue of any size.

Products are grouped by their tuple of tags, and tuples by their unchanged tags, so that nothing is quadratic. Selection is
balanced: every set of changing tags gives equally many pairs if it has them, and within a set the values of one entity (the
brand, if any) take turns, so that the largest brand does not fill the list.

Values spelled in two ways (*T-shirt*, *Tshirts*) are one: `e2.spelling` compares them. Tags of several values are equal if
they have the same ones, in any order.
"""

import itertools
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from e2.data.product import values_of
from e2.errors import InputError
from e2.spelling import same_values

TURNS = "brand"  # the entity whose values take turns; otherwise the one with most values


@dataclass(frozen=True)
class TagTable:
    """The tags of P products as integers."""

    entities: tuple[str, ...]  # E names
    codes: np.ndarray  # (P, E) int64, each tag's index in ``values``
    values: tuple[tuple[str, ...], ...]  # for each entity its tags, each in its most frequent spelling

    @classmethod
    def of(cls, rows: Sequence[Sequence[str]], entities: Sequence[str]) -> "TagTable":
        """Builds the table from P rows of E tags each."""
        columns = [_coded(column) for column in zip(*rows, strict=True)]
        return cls(tuple(entities), np.stack([codes for codes, _ in columns], axis=1), tuple(values for _, values in columns))

    def named(self, codes: np.ndarray) -> dict[str, str]:
        """Converts (E,) codes to tags, e.g. ``table.named(table.codes[product])``."""
        return {name: self.values[place][code] for place, (name, code) in enumerate(zip(self.entities, codes, strict=True))}


def _coded(column: Sequence[str]) -> tuple[np.ndarray, tuple[str, ...]]:
    """Codes one entity's tags: (P,) codes, and the tags."""
    frequent = sorted(Counter(column).items(), key=lambda counted: (-counted[1], counted[0]))
    keys = {tag: same_values(values_of(tag)) for tag, _ in frequent}
    shown: dict[tuple[str, ...], str] = {}
    for tag, key in keys.items():
        shown.setdefault(key, tag)
    place = {key: code for code, key in enumerate(sorted(shown))}
    return np.array([place[keys[tag]] for tag in column]), tuple(shown[key] for key in sorted(shown))


@dataclass(frozen=True)
class Pair:
    """A reference product, the wished tuple of tags, and the products that have it."""

    reference: int  # row of the reference
    wanted: np.ndarray  # (E,) codes
    changed: tuple[int, ...]  # indices of the entities that change
    answers: np.ndarray  # (A,) rows of the right products, in order


def draw_pairs(table: TagTable, swaps: Sequence[tuple[int, ...]], seed: int) -> Iterator[Pair]:
    """Yields all pairs that differ in one of ``swaps``, sets of places of entities, in random but balanced order."""
    rng = np.random.default_rng(seed)
    groups = _Groups(table.codes)
    most = int(np.argmax([len(values) for values in table.values]))
    turns = groups.tuples[:, table.entities.index(TURNS) if TURNS in table.entities else most]
    streams = [_stream(groups, changed, turns, rng) for changed in swaps]
    for turn in itertools.zip_longest(*streams):
        yield from (pair for pair in turn if pair is not None)


def swap_sets(table: TagTable, names: Sequence[str], changes: int) -> list[tuple[int, ...]]:
    """Returns the sets of entities that change together: all single ones, and all pairs if ``changes`` is 2.

    Raises:
        InputError: an unknown entity, or none with two values.
    """
    if unknown := [name for name in names if name not in table.entities]:
        raise InputError(f"--swap {', '.join(unknown)}: the catalogue's tags here are {', '.join(table.entities)}")
    places = [table.entities.index(name) for name in names]
    places = [place for place in dict.fromkeys(places) if len(table.values[place]) > 1]
    if not places:
        raise InputError("no tag to change has two values among these products; name others by --swap")
    return [chosen for count in range(1, changes + 1) for chosen in itertools.combinations(places, count)]


class _Groups:
    """Products grouped by their tuple of tags: T distinct tuples (T, E), and the members of each."""

    def __init__(self, codes: np.ndarray):
        self.tuples, inverse = np.unique(codes, axis=0, return_inverse=True)
        inverse = inverse.ravel()  # its shape differs between NumPy versions
        self._order, self._ends = np.argsort(inverse, kind="stable"), np.cumsum(np.bincount(inverse))

    def members(self, group: int) -> np.ndarray:
        """Rows of the products with one tuple, in order."""
        return self._order[self._ends[group - 1] if group else 0 : self._ends[group]]


def _stream(groups: _Groups, changed: tuple[int, ...], turns: np.ndarray, rng: np.random.Generator) -> Iterator[Pair]:
    """Yields pairs of one set of changing tags, in passes: each takes every reference tuple once, with another partner."""
    rest = np.delete(groups.tuples, changed, axis=1)
    _, bucket = np.unique(rest, axis=0, return_inverse=True)  # tuples that are equal in all other tags
    bucket = bucket.ravel()
    order = np.argsort(bucket, kind="stable")
    sizes = np.bincount(bucket)
    starts = np.cumsum(sizes) - sizes
    waiting = _in_turns(np.flatnonzero(sizes[bucket] > 1), turns, rng)
    partners: dict[int, list[int]] = {}
    while waiting:
        left = []
        for tuple_ in waiting:
            if tuple_ not in partners:
                others = order[starts[bucket[tuple_]] : starts[bucket[tuple_]] + sizes[bucket[tuple_]]]
                differ = (groups.tuples[others][:, changed] != groups.tuples[tuple_, list(changed)]).all(axis=1)
                partners[tuple_] = rng.permutation(others[differ]).tolist()
            if partners[tuple_]:
                wanted = partners[tuple_].pop()
                reference = int(rng.choice(groups.members(tuple_)))
                yield Pair(reference, groups.tuples[wanted], changed, np.sort(groups.members(wanted)))
                left.append(tuple_)
        waiting = left


def _in_turns(tuples: np.ndarray, turns: np.ndarray, rng: np.random.Generator) -> list[int]:
    """Shuffles tuples, the first of every turn-taker before the second of any."""
    tuples = rng.permutation(tuples)
    who = turns[tuples]
    order = np.argsort(who, kind="stable")
    counts = np.bincount(who)
    nth = np.empty(len(tuples), dtype=np.int64)
    nth[order] = np.arange(len(tuples)) - np.repeat(np.cumsum(counts) - counts, counts)
    return tuples[np.argsort(nth, kind="stable")].tolist()

"""Draws pairs of products that are equal in all but some tags, from a catalogue of any size.

Products are grouped by their tuple of tags, and tuples by their unchanged tags, so that nothing is quadratic. Selection is
balanced: every set of changing tags gives equally many pairs if it has them, and within a set the values of one entity (the
brand, if any) take turns, so that the largest brand does not fill the list.

A tag that the reference lacks is unknown, and leaves the right answers free; a product that lacks one which they need is none.

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
    codes: np.ndarray  # (P, E) int64, each tag's index in ``values``; -1: missing
    values: tuple[tuple[str, ...], ...]  # for each entity its tags, each in its most frequent spelling

    @classmethod
    def of(cls, rows: Sequence[Sequence[str | None]], entities: Sequence[str]) -> "TagTable":
        """Builds the table from P rows of E tags each; None: missing."""
        columns = [_coded(column) for column in zip(*rows, strict=True)]
        return cls(tuple(entities), np.stack([codes for codes, _ in columns], axis=1), tuple(values for _, values in columns))

    def named(self, codes: np.ndarray) -> dict[str, str]:
        """Converts (E,) codes to tags, those that are there, e.g. ``table.named(table.codes[product])``."""
        coded = enumerate(zip(self.entities, codes, strict=True))
        return {name: self.values[place][code] for place, (name, code) in coded if code >= 0}

    def answers(self, wanted: np.ndarray) -> np.ndarray:
        """Rows of the products with all wanted tags (E,), in order; -1: any."""
        return np.flatnonzero(((self.codes == wanted) | (wanted < 0)).all(axis=1))

    def having(self, names: Sequence[str]) -> np.ndarray:
        """Rows of the products with some entities, in order."""
        return np.flatnonzero((self.codes[:, [self.entities.index(name) for name in names]] >= 0).all(axis=1))


def _coded(column: Sequence[str | None]) -> tuple[np.ndarray, tuple[str, ...]]:
    """Codes one entity's tags: (P,) codes, and the tags."""
    given = Counter(tag for tag in column if tag is not None)
    frequent = sorted(given.items(), key=lambda counted: (-counted[1], counted[0]))
    keys = {tag: same_values(values_of(tag)) for tag, _ in frequent}
    shown: dict[tuple[str, ...], str] = {}
    for tag, key in keys.items():
        shown.setdefault(key, tag)
    place = {key: code for code, key in enumerate(sorted(shown))}
    return np.array([-1 if tag is None else place[keys[tag]] for tag in column]), tuple(shown[key] for key in sorted(shown))


@dataclass(frozen=True)
class Pair:
    """A reference product, the wished tuple of tags, and the products that have it."""

    reference: int  # row of the reference
    wanted: np.ndarray  # (E,) codes; -1: any
    changed: tuple[int, ...]  # indices of the entities that change
    answers: np.ndarray  # (A,) rows of the right products, in order


def draw_pairs(table: TagTable, swaps: Sequence[tuple[int, ...]], seed: int) -> Iterator[Pair]:
    """Yields all pairs that differ in one of ``swaps``, sets of places of entities, in random but balanced order."""
    rng = np.random.default_rng(seed)
    groups = _Groups(table.codes)
    most = int(np.argmax([len(values) for values in table.values]))
    turns = 1 + groups.tuples[:, table.entities.index(TURNS) if TURNS in table.entities else most]
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


class _Buckets:
    """Tuples that have at least the tags of a pattern, (E,) bool, in buckets that are equal in those that stay."""

    def __init__(self, tuples: np.ndarray, pattern: np.ndarray, changed: tuple[int, ...]):
        able = np.flatnonzero((tuples[:, pattern] >= 0).all(axis=1))
        stay = [place for place in np.flatnonzero(pattern).tolist() if place not in changed]
        _, bucket = np.unique(tuples[able][:, stay], axis=0, return_inverse=True)
        self._bucket = np.full(len(tuples), -1)
        self._bucket[able] = bucket.ravel()
        self._order, self._sizes = able[np.argsort(bucket.ravel(), kind="stable")], np.bincount(bucket.ravel())
        self._starts = np.cumsum(self._sizes) - self._sizes

    def sizes(self, tuples: np.ndarray) -> np.ndarray:
        """Size of the bucket of each tuple, by their numbers."""
        return self._sizes[self._bucket[tuples]]

    def of(self, tuple_: int) -> np.ndarray:
        """Numbers of the tuples in a tuple's bucket, itself among them."""
        start = self._starts[self._bucket[tuple_]]
        return self._order[start : start + self._sizes[self._bucket[tuple_]]]


def _stream(groups: _Groups, changed: tuple[int, ...], turns: np.ndarray, rng: np.random.Generator) -> Iterator[Pair]:
    """Yields pairs of one set of changing tags, in passes: each takes every reference tuple once, with another partner."""
    tuples, change = groups.tuples, list(changed)
    patterns, pattern_of = np.unique(tuples >= 0, axis=0, return_inverse=True)
    pattern_of = pattern_of.ravel()
    buckets = {n: _Buckets(tuples, has, changed) for n, has in enumerate(patterns) if has[change].all()}
    several = np.zeros(len(tuples), bool)
    for number, found in buckets.items():
        own = np.flatnonzero(pattern_of == number)
        several[own] = found.sizes(own) > 1
    waiting = _in_turns(np.flatnonzero(several), turns, rng)
    partners: dict[int, list[int]] = {}
    while waiting:
        left = []
        for tuple_ in waiting:
            others = buckets[pattern_of[tuple_]].of(tuple_)
            if tuple_ not in partners:
                differ = (tuples[others][:, change] != tuples[tuple_, change]).all(axis=1)
                shuffled = rng.permutation(others[differ]).tolist()
                partners[tuple_] = list({tuple(tuples[other, change].tolist()): other for other in shuffled}.values())
            if partners[tuple_]:
                wanted = tuples[partners[tuple_].pop()]
                reference = int(rng.choice(groups.members(tuple_)))
                same = others[(tuples[others][:, change] == wanted[change]).all(axis=1)]
                answers = np.sort(np.concatenate([groups.members(other) for other in same]))
                yield Pair(reference, np.where(patterns[pattern_of[tuple_]], wanted, -1), changed, answers)
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

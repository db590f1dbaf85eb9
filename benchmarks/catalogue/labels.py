"""Finds tags that a product's neighbours contradict: confident learning on out-of-sample votes of nearest neighbours.

A product's own tag has no vote on it. Confident learning is that of Northcutt et al., Confident Learning: Estimating
Uncertainty in Dataset Labels (JAIR 2021), section 3: a value is believed where its probability reaches the mean that products
so tagged give it, and a product believed to have another value than its own is a suspect, ranked by the margin between both.

Several values of a tag do not exclude each other: of a product that has several, a value is a suspect only where it is not
believed itself.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from e2.extras import extra

RARE = 5  # products that a value needs for its neighbours to speak of it
BLOCK = 4096  # products at a time


class TagSuspect(NamedTuple):
    """A product's value that is doubted, the one that its neighbours have, and the margin between the probabilities."""

    product: int
    given: str
    suggested: str
    margin: float


def suspects(values: Sequence[Sequence[str]], neighbours: np.ndarray, scores: np.ndarray) -> list[TagSuspect]:
    """Ranks the products of which the neighbours contradict a value, the most doubtful first.

    Args:
        values: of N products; one without any is never doubted and has no vote.
        neighbours: (N, K) rows, -1 = none.
        scores: (N, K) cosines.

    Raises:
        InputError: SciPy is not installed.
    """
    names = sorted(value for value, count in Counter(value for own in values for value in set(own)).items() if count >= RARE)
    if len(names) < 2 or not neighbours.shape[1]:
        return []
    labels = _matrix(values, names)
    counts = np.asarray(labels.sum(axis=0)).ravel()
    sums = np.zeros(len(names))
    for rows, votes in _votes(labels, neighbours, scores):
        sums += np.asarray(labels[rows].multiply(votes).sum(axis=0)).ravel()
    believed = sums / counts  # (C,) from which probability on a value is believed
    found = []
    for rows, votes in _votes(labels, neighbours, scores):
        own = labels[rows]
        lines, columns = own.nonzero()
        given = np.asarray(votes[lines, columns]).ravel()
        alone = np.diff(own.indptr)[lines] == 1
        doubted = _lowest(alone | (given < believed[columns]), lines, columns, given)
        others = votes - votes.multiply(own)  # values that nobody near has are offered to nobody
        others.eliminate_zeros()
        lines, columns = others.nonzero()
        offered = _lowest(others.data >= believed[columns], lines, columns, -others.data)
        for line in sorted(doubted.keys() & offered.keys()):
            (value, vote), (other, against) = doubted[line], offered[line]
            if -against > vote:
                found.append(TagSuspect(int(rows[line]), names[value], names[other], -against - vote))
    return sorted(found, key=lambda one: (-one.margin, one.product))


def _lowest(which: np.ndarray, lines: np.ndarray, columns: np.ndarray, numbers: np.ndarray) -> dict[int, tuple[int, float]]:
    """Line -> column and number of the lowest of its entries (M,) in a mask, the first of equal ones."""
    lines, columns, numbers = lines[which], columns[which], numbers[which]
    order = np.lexsort((columns, numbers, lines))
    first = order[np.unique(lines[order], return_index=True)[1]]
    return {int(lines[at]): (int(columns[at]), float(numbers[at])) for at in first}


def _matrix(values: Sequence[Sequence[str]], names: Sequence[str]) -> Any:
    """Sparse (N, C): 1 where a product has a value."""
    with extra("check", "e2 data check"):
        from scipy.sparse import csr_array
    number = {name: place for place, name in enumerate(names)}
    pairs = [(row, number[value]) for row, own in enumerate(values) for value in dict.fromkeys(own) if value in number]
    return csr_array((np.ones(len(pairs)), np.array(pairs).T), shape=(len(values), len(names)))


def _votes(labels: Any, neighbours: np.ndarray, scores: np.ndarray) -> Iterator[tuple[np.ndarray, Any]]:
    """Yields blocks of tagged products (B,) with the share of their neighbours that have each value, sparse (B, C), near ones
    weighing more; a neighbour without any has no vote.
    """
    spread = np.nanmean(np.where(neighbours >= 0, scores[:, :1] - scores, np.nan)[:, -1:]) or 1.0
    tagged = np.diff(labels.indptr) > 0
    given = np.flatnonzero(tagged)
    for start in range(0, len(given), BLOCK):
        rows = given[start : start + BLOCK]
        near, own = neighbours[rows], scores[rows]
        weights = np.where((near >= 0) & tagged[near], np.exp((own - own[:, :1]) / max(float(spread), 1e-6)), 0.0)
        shares = weights / np.maximum(weights.sum(axis=1, keepdims=True), 1e-12)
        ends = np.arange(len(rows) + 1) * near.shape[1]
        voting = type(labels)((shares.ravel(), np.maximum(near, 0).ravel(), ends), shape=(len(rows), len(tagged)))
        votes = (voting @ labels).tocsr()
        votes.eliminate_zeros()
        yield rows, votes

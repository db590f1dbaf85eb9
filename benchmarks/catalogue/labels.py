"""Finds tags that a product's neighbours contradict: confident learning on out-of-sample votes of nearest neighbours.

A product's own tag has no vote on it. Confident learning is that of Northcutt et al., Confident Learning: Estimating
Uncertainty in Dataset Labels (JAIR 2021), section 3: a value is believed where its probability reaches the mean that products
so tagged give it, and a product believed to have another value than its own is a suspect, ranked by the margin between both.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

RARE = 5  # products that a value needs for its neighbours to speak of it
BLOCK = 4096  # products at a time


class TagSuspect(NamedTuple):
    """A product whose tag is doubted, the value that its neighbours have, and the margin between the probabilities."""

    product: int
    given: str
    suggested: str
    margin: float


def suspects(values: Sequence[str | None], neighbours: np.ndarray, scores: np.ndarray) -> list[TagSuspect]:
    """Ranks the products whose value the neighbours contradict, the most doubtful first.

    Args:
        values: of N products; None: missing, never doubted and without a vote.
        neighbours: (N, K) rows, -1 = none.
        scores: (N, K) cosines.
    """
    names, labels = _numbered(values)
    given = np.flatnonzero(labels >= 0)
    if len(names) < 2 or not neighbours.shape[1]:
        return []
    probabilities = np.zeros(len(labels))  # that each product has its own value
    for rows, votes in _votes(labels, neighbours, scores, given, len(names)):
        probabilities[rows] = votes[np.arange(len(rows)), labels[rows]]
    sums = np.bincount(labels[given], probabilities[given], len(names))
    believed = sums / np.bincount(labels[given], minlength=len(names))  # (C,) from which probability on a value is believed
    found = []
    for rows, votes in _votes(labels, neighbours, scores, given, len(names)):
        confident = np.where((votes >= believed) & (votes > 0), votes, 0)
        best = confident.argmax(axis=1)
        margins = votes[np.arange(len(rows)), best] - probabilities[rows]
        for place in np.flatnonzero((confident.max(axis=1) > 0) & (best != labels[rows]) & (margins > 0)).tolist():
            row = int(rows[place])
            found.append(TagSuspect(row, names[labels[row]], names[best[place]], float(margins[place])))
    return sorted(found, key=lambda one: (-one.margin, one.product))


def _numbered(values: Sequence[str | None]) -> tuple[list[str], np.ndarray]:
    """Names of the values that are not rare, and the number of each product's, -1 = none of them."""
    names, places, counts = np.unique([value or "" for value in values], return_inverse=True, return_counts=True)
    kept = (counts >= RARE) & (names != "")
    numbers = np.where(kept, np.cumsum(kept) - 1, -1)
    return names[kept].tolist(), numbers[places.ravel()]


def _votes(labels: np.ndarray, neighbours: np.ndarray, scores: np.ndarray, given: np.ndarray, classes: int):
    """Yields blocks of rows (B,) with the share of each value among their neighbours (B, C), near ones weighing more."""
    spread = np.nanmean(np.where(neighbours >= 0, scores[:, :1] - scores, np.nan)[:, -1:]) or 1.0
    for start in range(0, len(given), BLOCK):
        rows = given[start : start + BLOCK]
        near, own = neighbours[rows], scores[rows]
        voting = np.where(near >= 0, labels[near], -1)
        weights = np.where(voting >= 0, np.exp((own - own[:, :1]) / max(float(spread), 1e-6)), 0.0)
        votes = np.zeros((len(rows), classes))
        np.add.at(votes, (np.arange(len(rows))[:, None], np.maximum(voting, 0)), weights)
        yield rows, votes / np.maximum(votes.sum(axis=1, keepdims=True), 1e-12)

"""Metrics of composed retrieval: ranks, recalls and mAP from query and gallery vectors and right answers. Pure functions.

A query may have several right answers, and its reference may be left out of the gallery (`excluded`). Two figures:

- R@K: a query is found if *any* of its right answers is among the top K (a hit rate, as in the field's protocols; for a single
  right answer it is the recall). Ranks count the wrong answers above the best right one.
- mAP@K as CIRCO defines it: AP@K = sum over places j <= K of P(j) rel(j), divided by min(number of right answers, K).

Ties are those of `e2/ranks.py`: cosines within ``TIE_TOLERANCE`` of each other, and the headline is the *expected* value under
a random order of ties. For mAP that has a closed form (McSherry and Najork, "Computing information retrieval performance
measures efficiently in the presence of tied scores", ECIR 2008). Both bounds are given, too.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from e2.errors import InputError
from e2.finite import require_finite
from e2.ranks import TIE_TOLERANCE, Ranks

BLOCK_SCORES = 1 << 23  # queries x gallery at a time: 32 MB


@dataclass(frozen=True)
class AnswerRanks:
    """Ranks of the right answers of Q queries: N pairs of a query and a right answer, by query, then best first."""

    query: np.ndarray  # (N,) int64, the query of each pair
    better: np.ndarray  # (N,) int64, wrong answers that score clearly higher
    better_or_equal: np.ndarray  # (N,) int64, wrong answers that score higher or tie
    top: np.ndarray  # (Q, K) int64, rows of the gallery in display order, best first; -1 if the gallery is shorter

    def ranks(self) -> Ranks:
        """Ranks of each query's best right answer among the wrong ones."""
        first = _firsts(self.query)
        return Ranks(torch.from_numpy(self.better[first]), torch.from_numpy(self.better_or_equal[first]))

    def hits(self, ks: Sequence[int]) -> np.ndarray:
        """Probability (Q, K) that any right answer is in the top k."""
        return self.ranks().hits(ks).numpy()

    def average_precision(self, ks: Sequence[int]) -> np.ndarray:
        """Expected AP@k, (Q, K)."""
        return expected_average_precision(self.query, self.better, self.better_or_equal, ks)

    def settled(self, bound: str) -> "AnswerRanks":
        """Resolves all ties one way: ``optimistic`` (right answers first), ``pessimistic``, or ``expected``."""
        if bound == "expected":
            return self
        counts = {"optimistic": self.better, "pessimistic": self.better_or_equal}[bound]
        return replace(self, better=counts, better_or_equal=counts)


def find(
    queries: Tensor,
    gallery: Tensor,
    answers: Sequence[np.ndarray],
    *,
    excluded: np.ndarray | None = None,
    top: int = 50,
) -> AnswerRanks:
    """Ranks the whole gallery for every query, by cosine.

    Args:
        queries: (Q, D) features of any scale.
        gallery: (G, D) features, on the same device.
        answers: right gallery rows of each query, one or more, without repetition.
        excluded: (Q,) the gallery row that a query may not return (its reference), or -1; None: nothing is excluded.
        top: results to keep per query.

    Raises:
        InputError: a query without a right answer in the gallery, or whose right answer is excluded; features not finite.
    """
    _check_answers(answers, excluded, len(gallery))
    kept, pairs = [], []
    for rows, scores in _score_blocks(queries, gallery, excluded):
        kept.append(_best(scores, top))
        pairs += _counts(scores.cpu().numpy(), rows.start, answers)
    query, better, equal = (np.concatenate(column) for column in zip(*pairs, strict=True))
    return AnswerRanks(query, better, equal, np.concatenate(kept))


def best_rows(queries: Tensor, gallery: Tensor, k: int, *, excluded: np.ndarray | None = None) -> np.ndarray:
    """Finds the (Q, k) best gallery rows, for test sets with hidden answers; -1 beyond the gallery."""
    return np.concatenate([_best(scores, k) for _, scores in _score_blocks(queries, gallery, excluded)])


def expected_average_precision(
    query: np.ndarray, better: np.ndarray, better_or_equal: np.ndarray, ks: Sequence[int]
) -> np.ndarray:
    """Computes AP@k (Q, K), expected over random orders of ties.

    Right answers of one query with equal counts form a group with the wrong answers that they tie with. With r right answers
    and c results before a group of n with m right ones, place i of the group is right with probability m / n, and then has
    precision (r + 1 + (i - 1) (m - 1) / (n - 1)) / (c + i) in the mean.

    Args:
        query, better, better_or_equal: the pairs of :class:`AnswerRanks`.
        ks: cut-offs.

    Example: right answers on the first and third of three places, no ties.
        >>> expected_average_precision(np.array([0, 0]), np.array([0, 1]), np.array([0, 1]), [1, 3]).round(3)
        array([[1.   , 0.833]])
    """
    changes = (np.diff(query) != 0) | (np.diff(better) != 0) | (np.diff(better_or_equal) != 0)
    starts = np.flatnonzero(np.r_[True, changes])  # of the groups
    right = np.diff(np.r_[starts, len(query)])  # m
    before = starts - _firsts(query)[query[starts]]  # r
    size = right + better_or_equal[starts] - better[starts]  # n
    ahead = before + better[starts]  # c
    places = np.clip(max(ks) - ahead, 0, size)  # of the group within the largest k
    group = np.repeat(np.arange(len(starts)), places)
    place = np.arange(len(group)) - np.repeat(np.cumsum(places) - places, places)  # i - 1
    others = (right[group] - 1) / np.maximum(size[group] - 1, 1)
    position = ahead[group] + place + 1
    gain = right[group] / size[group] * (before[group] + 1 + place * others) / position
    owner, total = query[starts][group], np.bincount(query)
    sums = [np.bincount(owner, weights=gain * (position <= k), minlength=len(total)) for k in ks]
    return np.stack([part / np.minimum(total, k) for part, k in zip(sums, ks, strict=True)], axis=1)


def unit(features: Tensor, what: str) -> Tensor:
    """Normalises to (N, D) float32 rows of length 1.

    Raises:
        NotFinite: features with NaN or infinity.
    """
    require_finite(features, f"{what} vectors")
    return torch.nn.functional.normalize(features.float(), dim=-1)


def _score_blocks(queries: Tensor, gallery: Tensor, excluded: np.ndarray | None) -> Iterator[tuple[slice, Tensor]]:
    """Yields cosines (b, G) of some queries at a time, -inf for excluded rows."""
    queries, gallery = unit(queries, "query"), unit(gallery, "gallery")
    step = max(1, BLOCK_SCORES // len(gallery))
    for start in range(0, len(queries), step):
        rows = slice(start, min(start + step, len(queries)))
        scores = queries[rows] @ gallery.T  # (b, G)
        if excluded is not None:
            (having,) = np.nonzero(excluded[rows] >= 0)
            scores[having, excluded[rows][having]] = -torch.inf
        yield rows, scores


def _best(scores: Tensor, k: int) -> np.ndarray:
    """Rows (b, k) of the highest scores, best first; -1 if there are fewer results."""
    values, rows = scores.topk(min(k, scores.shape[1]), dim=1)
    found = rows.masked_fill(values == -torch.inf, -1).cpu().numpy()
    return np.pad(found, ((0, 0), (0, k - found.shape[1])), constant_values=-1)


def _counts(scores: np.ndarray, start: int, answers: Sequence[np.ndarray]) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Computes (query, better, better or equal) for the right answers of each query of a block, which it overwrites."""
    right = [row[answers[start + i]] for i, row in enumerate(scores)]
    for i, row in enumerate(scores):
        row[answers[start + i]] = -np.inf  # right answers never compete with each other
    scores.sort(axis=1)  # one sort serves any number of right answers
    counted = []
    for i, (row, mine) in enumerate(zip(scores, right, strict=True)):
        mine = np.sort(mine)[::-1]
        above, equal = mine + np.float32(TIE_TOLERANCE), mine - np.float32(TIE_TOLERANCE)
        better, better_or_equal = len(row) - row.searchsorted(above, side="right"), len(row) - row.searchsorted(equal)
        counted.append((np.full(len(mine), start + i), better, better_or_equal))
    return counted


def _check_answers(answers: Sequence[np.ndarray], excluded: np.ndarray | None, gallery: int) -> None:
    for query, rows in enumerate(answers):
        if not len(rows) or min(rows) < 0 or max(rows) >= gallery:
            raise InputError(f"query {query} has no right answer in the gallery of {gallery}; leave it out")
        if excluded is not None and excluded[query] in rows:
            raise InputError(
                f"query {query} has its own reference as a right answer, which is left out; keep it or drop the query"
            )


def _firsts(query: np.ndarray) -> np.ndarray:
    """Index (Q,) of each query's first pair."""
    return np.flatnonzero(np.r_[True, np.diff(query) != 0])

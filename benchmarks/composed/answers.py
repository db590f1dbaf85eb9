"""Ranks of one method and encoder on every query of a composed-retrieval task, and the metrics computed from them."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from e2.benchmarks.composed.data.task import Task
from e2.benchmarks.composed.metrics import AnswerRanks, best_rows, find
from e2.benchmarks.core.bootstrap import Measure, resampled_means
from e2.files import atomic_path
from e2.ranks import Ranks, candidate_ranks

TOP = 50  # results kept for each query
JUDGED = (10, 50)  # ranks in which hard negatives are counted
SUBSET_KS = (1, 2, 3)
BOUNDS = ("expected", "pessimistic", "optimistic")


@dataclass(frozen=True)
class ComposedAnswers:
    """One value per wording, query and measure; W wordings, Q queries, C measures."""

    task: Task
    names: tuple[str, ...]  # C names of measures, such as ``R@10``
    values: dict[str, np.ndarray]  # for each of ``BOUNDS`` (W, Q, C) shares between 0 and 1, with ties resolved that way
    optimistic: np.ndarray  # (W, Q) wrong answers clearly above the best right one
    pessimistic: np.ndarray  # (W, Q) wrong answers above it or tied
    top: np.ndarray  # (W, Q, 50) gallery rows, best first, -1 for none

    def metrics(self) -> dict[str, float]:
        """Metrics in percent: each measure's mean over categories, then by category if there are several."""
        return dict(zip(self.metric_names, self._figures(self.values["expected"]), strict=True))

    def tie_bounds(self) -> dict[str, list[float]]:
        """[pessimistic, optimistic] value of each metric that ties affect."""
        low, high = (self._figures(self.values[bound]) for bound in BOUNDS[1:])
        return {name: [a, b] for name, a, b in zip(self.metric_names, low, high, strict=True) if a < b}

    def samples(self, resamples: int, seed: int) -> np.ndarray:
        """Bootstraps the metrics in percent: (resamples, M), columns in the order of ``metrics``."""
        each = self.values["expected"].mean(axis=0)  # a query's wordings are resampled together
        measures = [Measure(each[rows], self.task.clusters[rows]) for rows in self._rows]
        means = 100 * resampled_means(measures, resamples=resamples, seed=seed)
        means = means.reshape(resamples, len(self._rows), len(self.names))
        average = np.nanmean(means, axis=1)
        return average if len(self._rows) == 1 else np.concatenate([average, means.reshape(resamples, -1)], axis=1)

    def paraphrases(self) -> dict[str, Any] | None:
        """Influence of the wording; None for a single one.

        ``by_wording``: each metric in each wording, ``deviation``: their standard deviation, ``within_query``: the standard
        deviation over the wordings of one query, averaged over queries; both in points.
        """
        values = self.values["expected"]
        if len(values) == 1:
            return None
        figures = np.array([self._figures(wording[None])[: len(self.names)] for wording in values])
        found = {
            "by_wording": figures.T,
            "deviation": figures.std(axis=0, ddof=1),
            "within_query": 100 * values.std(axis=0, ddof=1).mean(axis=0),
        }
        return {kind: dict(zip(self.names, columns.tolist(), strict=True)) for kind, columns in found.items()}

    def hard_negatives(self) -> dict[str, dict[str, float]] | None:
        """Mean number of results of each kind in the top K, over all wordings; None if the task has no judge."""
        if self.task.judge is None:
            return None
        counts = {}
        for k in JUDGED:
            kinds = [self.task.judge.count(top[:, :k]) for top in self.top]
            counts[f"top_{k}"] = {name: float(np.mean([kind[name] for kind in kinds])) for name in kinds[0]}
        return counts

    def save(self, path: Path) -> None:
        """Writes every query's values, ranks and results (``.npz``), so that later runs can be paired with it."""
        task = self.task
        with atomic_path(path) as temporary:
            np.savez_compressed(
                temporary,
                measures=np.array(self.names),
                values=self.values["expected"].astype(np.float32),
                optimistic=self.optimistic,
                pessimistic=self.pessimistic,
                top=self.top.astype(np.int32),
                targets=np.array(task.target_names),
                queries=np.array(task.query_names),
                categories=task.categories.astype(str),
                clusters=task.clusters,
            )

    @cached_property
    def metric_names(self) -> list[str]:
        """Names of the metrics, in order."""
        categories = list(self.task.galleries) if len(self._rows) > 1 else []
        return [*self.names, *(f"{name}_{category}" for category in categories for name in self.names)]

    @cached_property
    def _rows(self) -> list[np.ndarray]:
        """Queries of each category."""
        return [np.flatnonzero(self.task.categories == category) for category in self.task.galleries]

    def _figures(self, values: np.ndarray) -> list[float]:
        """Converts (W, Q, C) values to metrics in percent."""
        means = np.array([100 * values[:, rows].mean(axis=(0, 1)) for rows in self._rows])  # (categories, C)
        return [*means.mean(axis=0).tolist(), *(means.ravel().tolist() if len(means) > 1 else [])]


def answer(task: Task, vectors: Sequence[Tensor], gallery: Tensor) -> ComposedAnswers:
    """Ranks the galleries of a task for the query vectors of a method.

    Args:
        task: with known answers.
        vectors: (Q, D) for each wording.
        gallery: (G, D) of all targets, on the same device.
    """
    assert task.answers is not None
    subset_ks = SUBSET_KS if task.subset is not None else ()
    measures = (("R", task.recall_ks), ("mAP", task.map_ks), ("R_subset", subset_ks))
    names, shape = tuple(f"{name}@{k}" for name, ks in measures for k in ks), (len(vectors), len(task))
    values = {bound: np.empty((*shape, len(names))) for bound in BOUNDS}
    optimistic, pessimistic, top = (np.empty((*shape, *more), dtype=np.int64) for more in ((), (), (TOP,)))
    for wording, queries in enumerate(vectors):
        for category, members in task.galleries.items():
            rows = np.flatnonzero(task.categories == category)
            search = partial(_search, task, queries, gallery, rows, members)
            found = search(task.answers)
            recalled = found if task.recall_answers is None else search(task.recall_answers)
            subset = None
            if task.subset is not None:
                asked, lists = (torch.from_numpy(array).to(gallery.device) for array in (rows, task.subset[rows]))
                subset = candidate_ranks(queries, gallery, asked, lists)
            for bound in BOUNDS:
                values[bound][wording, rows] = _values(task, found, recalled, subset, bound)
            ranks = found.ranks()
            optimistic[wording, rows], pessimistic[wording, rows] = ranks.optimistic, ranks.pessimistic
            top[wording, rows] = _global(members, found.top)
    return ComposedAnswers(task, names, values, optimistic, pessimistic, top)


def hidden_top(task: Task, queries: Tensor, gallery: Tensor) -> np.ndarray:
    """Finds the (Q, 50) best gallery rows, for a test set with hidden answers (one category)."""
    (rows,) = task.galleries.values()
    excluded = _local(rows, len(gallery))[task.references] if task.exclude_reference else None
    return _global(rows, best_rows(queries, gallery[rows], TOP, excluded=excluded))


def subset_top(task: Task, queries: Tensor, gallery: Tensor) -> np.ndarray:
    """Finds the (Q, 3) best rows of each query's own short list; -1 if it is shorter."""
    lists = torch.from_numpy(task.subset).to(gallery.device)
    scores = torch.einsum("qd,qcd->qc", queries, gallery[lists]).masked_fill(lists < 0, -torch.inf)
    k = max(SUBSET_KS)
    best = lists.gather(1, scores.topk(min(k, lists.shape[1]), dim=1).indices).cpu().numpy()
    return np.pad(best, ((0, 0), (0, k - best.shape[1])), constant_values=-1)


def _values(task: Task, found: AnswerRanks, recalled: AnswerRanks, subset: Ranks | None, bound: str) -> np.ndarray:
    """Computes all measures of some queries, (q, C)."""
    columns = [recalled.settled(bound).hits(task.recall_ks)]
    if task.map_ks:
        columns.append(found.settled(bound).average_precision(task.map_ks))
    if subset is not None:
        chosen = subset if bound == "expected" else Ranks(*2 * (getattr(subset, bound),))
        columns.append(chosen.hits(SUBSET_KS).cpu().numpy())
    return np.concatenate(columns, axis=1)


def _search(
    task: Task, queries: Tensor, gallery: Tensor, rows: np.ndarray, members: np.ndarray, answers: Sequence[np.ndarray]
) -> AnswerRanks:
    """Ranks one category's gallery for its queries; rows of the result count within that gallery."""
    local = _local(members, len(gallery))
    excluded = local[task.references[rows]] if task.exclude_reference else None
    mine, asked = (torch.from_numpy(which).to(gallery.device) for which in (members, rows))
    return find(queries[asked], gallery[mine], [local[answers[row]] for row in rows], excluded=excluded, top=TOP)


def _local(members: np.ndarray, total: int) -> np.ndarray:
    """Maps rows of all targets to rows of one category's gallery (G,), -1 outside."""
    local = np.full(total, -1)
    local[members] = np.arange(len(members))
    return local


def _global(members: np.ndarray, rows: np.ndarray) -> np.ndarray:
    return np.where(rows >= 0, members[rows], -1)

"""Ranks of one encoder on every query of a protocol, and the metrics computed from them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from e2.adapters.encoder import Encoder
from e2.benchmarks.core.bootstrap import Measure, resampled_means
from e2.benchmarks.core.items import Items
from e2.benchmarks.retrieval.candidates import CandidateLists
from e2.ranks import KS, Ranks, candidate_ranks, cross_modal_ranks, retrieval_metrics


@dataclass(frozen=True)
class Direction:
    """Queries of one direction, over all runs of a protocol (a full gallery is one run)."""

    ranks: Ranks  # of Q queries
    products: np.ndarray  # (Q,) the product of each
    runs: np.ndarray  # (Q,) the run of each

    def hits(self) -> np.ndarray:
        """Hits (Q, K)."""
        return self.ranks.hits(KS).cpu().numpy()

    def hits_if_settled(self, bound: str) -> np.ndarray:
        """Hits (Q, K) if all ties fell one way, ``optimistic`` or ``pessimistic``."""
        settled = getattr(self.ranks, bound)
        return Ranks(settled, settled).hits(KS).cpu().numpy()


@dataclass(frozen=True)
class Answers:
    """Both directions of one encoder."""

    image_to_text: Direction
    text_to_image: Direction

    def metrics(self) -> dict[str, float]:
        """Headline metrics in percent, over all runs (of equally many queries)."""
        return _metrics([side.hits() for side in self._sides()])

    def tie_bounds(self) -> dict[str, list[float]]:
        """[pessimistic, optimistic] value of each metric that ties affect."""
        bounds = ("pessimistic", "optimistic")
        low, high = (_metrics([side.hits_if_settled(bound) for side in self._sides()]) for bound in bounds)
        return {name: [low[name], high[name]] for name in low if low[name] < high[name]}

    def spread(self) -> dict[str, float]:
        """Standard deviation of each metric between runs.

        Shows the influence of the sampled lists; runs share products, so it is not a confidence interval.
        """
        numbers = np.unique(self.image_to_text.runs)
        runs = [_metrics([side.hits()[side.runs == run] for side in self._sides()]) for run in numbers]
        return {name: float(np.std([run[name] for run in runs], ddof=min(1, len(runs) - 1))) for name in runs[0]}

    def samples(self, resamples: int, seed: int) -> np.ndarray:
        """Bootstraps the metrics in percent: (resamples, 7), columns in the order of ``metrics``."""
        measures = [Measure(side.hits(), side.products) for side in self._sides()]
        means = 100 * resampled_means(measures, resamples=resamples, seed=seed)
        return np.concatenate([means, means.sum(axis=1, keepdims=True)], axis=1)

    def _sides(self) -> tuple[Direction, Direction]:
        return self.image_to_text, self.text_to_image


def answer(encoder: Encoder, items: Items, lists: CandidateLists | None) -> Answers:
    """Encodes all items and ranks the full gallery or, given lists, their candidates."""
    images = torch.from_numpy(items.encode_images(encoder)).to(encoder.device)
    texts = torch.from_numpy(encoder.encode_texts(items.texts)).to(encoder.device)
    if lists is None:
        groups = [torch.from_numpy(rows).to(encoder.device) for rows in (items.image_products, items.text_products)]
        to_text, to_image = cross_modal_ranks(images, texts, *groups)
        return Answers(_one_run(to_text, items.image_products), _one_run(to_image, items.text_products))
    return Answers(
        _listed(images, texts, lists.image_queries, lists.text_candidates, items.image_products),
        _listed(texts, images, lists.text_queries, lists.image_candidates, items.text_products),
    )


def _one_run(ranks: Ranks, products: np.ndarray) -> Direction:
    return Direction(ranks, products, np.zeros_like(products))


def _listed(
    queries: torch.Tensor, gallery: torch.Tensor, rows: np.ndarray, candidates: np.ndarray, products: np.ndarray
) -> Direction:
    """Ranks rows (R, Q) among candidates (R, Q, 101) of all runs at once."""
    runs = np.repeat(np.arange(len(rows)), rows.shape[1])
    rows, candidates = rows.reshape(-1), candidates.reshape(-1, candidates.shape[-1])
    where = queries.device
    ranks = candidate_ranks(queries, gallery, torch.from_numpy(rows).to(where), torch.from_numpy(candidates).to(where))
    return Direction(ranks, products[rows], runs)


def _metrics(hits: Sequence[np.ndarray]) -> dict[str, float]:
    """Names the metrics of both directions' (Q, K) hits."""
    return retrieval_metrics(*(dict(zip(KS, (100 * side.mean(axis=0)).tolist(), strict=True)) for side in hits))

"""Metrics of rankings against judgements, by ir-measures (trec_eval's own code, as BEIR and leaderboards use it).

Each is over the first ten products. R@k is the share of a query's relevant products among the first k, so it stays low where
many are relevant; mAP@10 divides by all of them, too. Equal scores are ordered by descending id, as in trec_eval.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from e2.extras import extra

DEPTH = 10
METRICS = ("R@1", "R@10", "P@1", "P@10", "MRR@10", "mAP@10", "nDCG@10")
BLOCK = 256  # queries scored at a time


def first_ten(queries: Tensor, gallery: Tensor, ids: Sequence[str]) -> list[list[str]]:
    """Ranks a gallery for each query.

    Args:
        queries: (Q, D) unit vectors.
        gallery: (G, D) unit vectors, on the same device.
        ids: of the G products.

    Returns:
        ids of each query's best ten, the best first.
    """
    order = sorted(range(len(ids)), key=ids.__getitem__, reverse=True)
    gallery = gallery[torch.tensor(order, device=gallery.device)]
    ranked = []
    for block in queries.split(BLOCK):
        scores = block @ gallery.T  # (b, G)
        least = scores.topk(min(DEPTH, len(ids)), dim=1).values[:, -1:]
        for row, enough in zip(scores, scores >= least, strict=True):  # all that tie for the last place
            places = enough.nonzero()[:, 0]
            best = places[row[places].argsort(descending=True, stable=True)[:DEPTH]]
            ranked.append([ids[order[place]] for place in best.tolist()])
    return ranked


def judge(relevant: Mapping[str, dict[str, int]], ranked: Sequence[Sequence[str]]) -> np.ndarray:
    """Computes the metrics of each query.

    Args:
        relevant: Q queries -> product -> grade.
        ranked: of each query, in the same order, its first ten products.

    Returns:
        (Q, 7) in 0 to 1, columns in the order of `METRICS`.

    Raises:
        InputError: ir-measures is not installed.
    """
    with extra("qrels", "evaluation by --qrels"):
        from ir_measures import AP, RR, P, R, iter_calc, nDCG

    measures = (R @ 1, R @ 10, P @ 1, P @ 10, RR, AP @ 10, nDCG @ 10)
    rows = {str(row): grades for row, grades in enumerate(relevant.values())}  # a query may be any text, these are plain
    run = {str(row): {product: float(-place) for place, product in enumerate(found)} for row, found in enumerate(ranked)}
    values = np.zeros((len(rows), len(measures)))
    for found in iter_calc(measures, rows, run):
        values[int(found.query_id), measures.index(found.measure)] = found.value
    return values

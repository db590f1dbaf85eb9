"""Narrows the modality gap after training, and evaluates retrieval and captions from the moved photos."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from e2.adapters.captioning.captioner import Captioner
from e2.benchmarks.captioning.metrics import score_captions
from e2.benchmarks.core.bootstrap import Measure, interval, resampled_means
from e2.benchmarks.gap.metrics import moved, narrowed, offset
from e2.benchmarks.retrieval.answers import Answers, Direction
from e2.ranks import cross_modal_ranks

AMOUNTS = (-0.5, -0.25, 0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5)  # shares of the offset; 0 = as trained, 1 = the means meet
CAPTION_SCORES = ("BLEU@4", "ROUGE-L", "CIDEr")

Pairs = tuple[np.ndarray, np.ndarray]  # (N, D) photos and (N, D) texts, row by row of the same product


def retrieval_sweep(pairs: Pairs, tuning: Pairs, *, seed: int, resamples: int) -> tuple[list[dict[str, Any]], np.ndarray]:
    """Evaluates retrieval of the pairs over `AMOUNTS` of the offset between the tuning pairs.

    Returns:
        Per amount a row: ``amount``, remaining ``gap``, ``metrics``, ``ci95`` of SumR, its ``gain`` over amount 0 with
        ``gain_ci95`` (paired), and ``tuning_SumR``; and (amounts, resamples) samples of SumR.
    """
    gap = offset(*tuning)
    rows: list[dict[str, Any]] = []
    samples = []
    for amount in AMOUNTS:
        shifted = narrowed(*pairs, gap, amount)
        answers = square_answers(*shifted)
        samples.append(answers.samples(resamples, seed)[:, -1])
        left = float(np.linalg.norm(offset(*shifted)))
        tuned = square_answers(*narrowed(*tuning, gap, amount)).metrics()["SumR"]
        rows.append({"amount": amount, "gap": left, "metrics": answers.metrics(), "tuning_SumR": tuned})
    _add_gains(rows, "SumR", samples)
    return rows, np.stack(samples)


def _add_gains(rows: list[dict[str, Any]], metric: str, samples: Sequence[np.ndarray]) -> None:
    """Adds to each row the interval of a metric, and its gain over amount 0 with the paired interval."""
    start = AMOUNTS.index(0.0)
    for row, drawn in zip(rows, samples, strict=True):
        row["ci95"] = list(interval(drawn))
        row["gain"] = row["metrics"][metric] - rows[start]["metrics"][metric]
        row["gain_ci95"] = list(interval(drawn - samples[start]))


def square_answers(images: np.ndarray, texts: np.ndarray) -> Answers:
    """Ranks one photo and one text per product against all of the other kind."""
    products = np.arange(len(images))
    groups = torch.from_numpy(products)
    ranks = cross_modal_ranks(torch.from_numpy(images), torch.from_numpy(texts), groups, groups)
    return Answers(*(Direction(direction, products, np.zeros_like(products)) for direction in ranks))


def caption_sweep(
    captioner: Captioner,
    photos: np.ndarray,
    gap: np.ndarray,
    references: Sequence[Sequence[str]],
    *,
    seed: int,
    resamples: int,
) -> list[dict[str, Any]]:
    """Scores captions over `AMOUNTS`. The captioner's texts stay; the photos move the full distance.

    Args:
        captioner: of the encoder that embedded the photos; its tags are read from the photos as they are.
        photos: (N, D).
        gap: (D,) from the mean text to the mean photo.
        references: true texts of each of N products.
        seed, resamples: of the bootstrap.

    Returns:
        Per amount ``amount``, ``metrics``, ``ci95`` of CIDEr, its ``gain`` over amount 0 and ``gain_ci95`` (paired).
    """
    tags = captioner.read_tags(photos)
    rows: list[dict[str, Any]] = []
    ciders = []
    for amount in AMOUNTS:
        captions = captioner.caption_features(moved(photos, -amount * gap), tags=tags)
        ids = [str(row) for row in range(len(photos))]
        scores = score_captions(dict(zip(ids, captions, strict=True)), dict(zip(ids, references, strict=True)), java="none")
        rows.append({"amount": amount, "metrics": {name: scores.metrics[name] for name in CAPTION_SCORES}})
        ciders.append(scores.per_caption["CIDEr"])
    measure = Measure(np.stack(ciders, axis=1), np.arange(len(photos)))
    _add_gains(rows, "CIDEr", list(resampled_means([measure], resamples=resamples, seed=seed).T))
    return rows

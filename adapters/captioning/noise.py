"""CapDec's noise on text embeddings in training, and its calibration.

Source: CapDec (arXiv 2211.00575). The Gaussian's variance is per component, so its effect depends on the width; a target
cosine between clean and noisy vector can be given instead.
"""

import math

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from e2.errors import InputError

PAPER_VARIANCE = 0.016
PAIRS = 4096  # enough for a mean


def add_noise(
    x: Tensor, variance: float, *, offset: Tensor | None = None, uniform: bool = False, normalize: bool = True
) -> Tensor:
    """Adds noise to unit vectors; zero variance returns the input without noise or offset, as the original does.

    Args:
        x: (B, D).
        variance: per component of the Gaussian; for the uniform ball, its squared radius.
        offset: (D,) or (1, D), from texts to images.
        uniform: draw from a ball instead.
        normalize: normalise before the noise as well as after it.
    """
    if variance == 0:
        return x
    x = F.normalize(x, dim=-1) if normalize else x
    noise = _ball(x) if uniform else torch.randn_like(x)
    x = x + noise * math.sqrt(variance)
    return F.normalize(x if offset is None else x + offset.to(x.device), dim=-1)


def _ball(x: Tensor) -> Tensor:
    """Draws (B, D) points, uniform in the unit ball."""
    direction = F.normalize(torch.randn_like(x), dim=-1)
    return direction * torch.rand(len(x), 1, device=x.device, dtype=x.dtype) ** (1 / x.shape[1])


def variance_of_cosine(cosine: float, width: int) -> float:
    """Variance at which a noisy unit vector has this cosine to the clean one: 1 / sqrt(1 + D * variance)."""
    if not 0 < cosine <= 1:
        raise InputError(f"target cosine {cosine} must lie above 0 and up to 1 (no noise)")
    return (1 / cosine**2 - 1) / width


def cosine_of_variance(variance: float, width: int) -> float:
    """Inverse of `variance_of_cosine`."""
    return 1 / math.sqrt(1 + width * variance)


def variance_of_like_texts(embeddings: np.ndarray, groups: np.ndarray | None, *, seed: int = 0) -> float:
    """Computes the paper's estimate: the noise's deviation is the mean largest component difference of synonymous texts.

    (CapDec states 0.016 from captions of the same photo; its root, 0.126, is such a difference of unit vectors.)

    Args:
        embeddings: (N, D), L2-normalised, of distinct texts.
        groups: (N,) texts of like products share a number; -1: no group. Without groups of two, each text is paired with its
            nearest.
        seed: of the sample.
    """
    if len(embeddings) < 2:
        raise InputError("the noise cannot be calibrated on fewer than two distinct texts; give --variance")
    random = np.random.default_rng(seed)
    pairs = None if groups is None else _like_pairs(groups, random)
    if pairs is None or not len(pairs):
        pairs = _nearest_pairs(embeddings, random)
    difference = np.abs(embeddings[pairs[:, 0]] - embeddings[pairs[:, 1]]).max(axis=1)
    return float(difference.mean() ** 2)


def variance_of_gap(texts: np.ndarray, images: np.ndarray) -> float:
    """Variance that moves a text as far, in cosine, as its own photo is.

    Args:
        texts, images: (N, D), L2-normalised, row by row of the same product.
    """
    cosine = float((texts * images).sum(axis=1).mean())
    if cosine <= 0:
        raise InputError(f"mean cosine of photos and their texts is {cosine:.3f}: this encoder does not match them")
    return variance_of_cosine(min(cosine, 1.0), texts.shape[1])


def _like_pairs(groups: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Pairs (P, 2) of neighbours within a group, in random order."""
    order = random.permutation(np.flatnonzero(groups >= 0))
    order = order[np.argsort(groups[order], kind="stable")]
    same = groups[order][:-1] == groups[order][1:]
    pairs = np.stack([order[:-1][same], order[1:][same]], axis=1)
    return random.permutation(pairs)[:PAIRS]


def _nearest_pairs(embeddings: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Pairs (P, 2) of texts of a sample with their nearest other in it."""
    sample = random.permutation(len(embeddings))[:PAIRS]
    similarity = embeddings[sample] @ embeddings[sample].T
    np.fill_diagonal(similarity, -np.inf)
    return np.stack([sample, sample[similarity.argmax(axis=1)]], axis=1)

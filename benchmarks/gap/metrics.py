"""Modality gap, alignment and uniformity of paired unit vectors. NumPy in, NumPy out; no model.

- *gap*: the distance between the mean image vector and the mean text vector (Liang et al., "Mind the gap", NeurIPS 2022).
- *relative gap*: the same as a share of the root-mean-square distance between an image and the text of a random product. 1
  means two points, 0 one cloud; unlike the plain gap, it does not shrink merely because all vectors are close.
- *alignment*: the mean squared distance between an image and its own text; *uniformity*: the logarithm of the mean of exp(-2 *
  squared distance) over pairs of different products, the lower the more evenly spread (Wang and Isola, ICML 2020).

`figures` gives each as the mean of one value per product, so that a bootstrap over products needs only means. For the gap and
the uniformity these are first-order (influence function) values: their mean is exact, and resampling them gives the delta
method's interval.
"""

from dataclasses import dataclass

import numpy as np

from e2.adapters.unit_vectors import normalised
from e2.finite import require_finite

BLOCK = 2048  # rows whose distances to all others are computed at a time
SHARPNESS = 2.0  # t of the uniformity


@dataclass(frozen=True)
class Clouds:
    """Photos (N, 2) and texts (N, 2) of an encoder in a plane, and the ``shares`` (2,) of the variance along its axes."""

    images: np.ndarray
    texts: np.ndarray
    shares: np.ndarray


def figures(images: np.ndarray, texts: np.ndarray) -> dict[str, np.ndarray]:
    """Computes each measure as one value per product, whose mean it is.

    Args:
        images, texts: (N, D) unit vectors, row by row of the same product.

    Returns:
        ``gap``, ``relative_gap``, ``alignment``, ``uniformity`` (of the images) and ``uniformity_text``, (N,) float64 each.

    Raises:
        NotFinite: vectors with NaN or infinity.
    """
    require_finite(images, "image vectors")
    require_finite(texts, "text vectors")
    images, texts = images.astype(np.float64), texts.astype(np.float64)
    image, text = images.mean(axis=0), texts.mean(axis=0)
    gap, apart = np.linalg.norm(image - text), np.sqrt(max(2 - 2 * image @ text, 1e-12))  # of random pairs
    gap_change = ((images - image) - (texts - text)) @ (image - text) / max(gap, 1e-12)  # (N,) of mean 0, as the next
    apart_change = -((images - image) @ text + (texts - text) @ image) / apart
    return {
        "gap": gap + gap_change,
        "relative_gap": gap / apart + gap_change / apart - gap * apart_change / apart**2,
        "alignment": np.square(images - texts).sum(axis=1),
        "uniformity": _log_of_mean(potentials(images)),
        "uniformity_text": _log_of_mean(potentials(texts)),
    }


def _log_of_mean(potentials: np.ndarray) -> np.ndarray:
    """Values of mean log(U), U being the mean over pairs; leaving one product out changes U twice, once for each member of a
    pair.
    """
    mean = max(potentials.mean(), np.finfo(float).tiny)
    return np.log(mean) + 2 * (potentials - mean) / mean


def potentials(features: np.ndarray) -> np.ndarray:
    """Computes for each of (N, D) unit vectors the mean of exp(-2 * squared distance) to the N - 1 others, (N,)."""
    sums = np.empty(len(features))
    for start in range(0, len(features), BLOCK):
        cosines = features[start : start + BLOCK] @ features.T
        sums[start : start + BLOCK] = np.exp(-2 * SHARPNESS * (1 - cosines)).sum(axis=1, dtype=np.float64)
    return (sums - 1) / max(1, len(features) - 1)  # each is at distance 0 from itself


def chance_gap(images: np.ndarray, texts: np.ndarray) -> float:
    """Expected gap between samples of this size if both kinds were one cloud: sqrt(var / N) of both together."""
    return float(np.sqrt(sum((1 - np.square(x.mean(axis=0)).sum()) / len(x) for x in (images, texts))))


def offset(images: np.ndarray, texts: np.ndarray) -> np.ndarray:
    """Vector (D,) from the mean text to the mean image."""
    return images.mean(axis=0) - texts.mean(axis=0)


def moved(features: np.ndarray, step: np.ndarray) -> np.ndarray:
    """Moves (N, D) unit vectors by (D,) and renormalises them."""
    return normalised(features + step)


def narrowed(images: np.ndarray, texts: np.ndarray, gap: np.ndarray, amount: float) -> tuple[np.ndarray, np.ndarray]:
    """Moves each kind half of ``amount`` times the (D,) offset to the other: 0 keeps, 1 closes, below 0 widens the gap."""
    return moved(images, -amount / 2 * gap), moved(texts, amount / 2 * gap)


def plane(images: np.ndarray, texts: np.ndarray, rows: np.ndarray | slice = slice(None)) -> Clouds:
    """Projects some rows of both clouds on the first two principal components of all."""
    both = np.concatenate([images, texts]).astype(np.float64)
    both -= both.mean(axis=0)
    variances, directions = np.linalg.eigh(both.T @ both)
    flat = both @ directions[:, [-1, -2]]
    return Clouds(flat[: len(images)][rows], flat[len(images) :][rows], variances[[-1, -2]] / variances.sum())

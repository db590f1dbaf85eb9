"""Linear probes: tag classification from frozen embeddings. NumPy in, NumPy out.

A probe is scikit-learn's multinomial logistic regression: the mean cross-entropy plus ``decay / 2`` times the squared weights.
The embeddings are whitened first, so that probes do not depend on an encoder's scales, one range of penalties suits all
encoders, and L-BFGS converges. The decay is chosen on held-out products, as in CLIP (Radford et al., 2021, A.3).
"""

import copy
import warnings
from dataclasses import dataclass

import numpy as np

from e2.extras import extra
from e2.finite import require_finite

with extra("probe", "linear probes"):
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

DECAYS = (1.0, 1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6)  # strong to weak
PATIENCE = 2  # weaker penalties tried without a better held-out accuracy before the search ends
LEAST_VARIANCE = 1e-4  # floor of a direction's variance, as a share of the mean: nearly constant ones are not blown up
ITERATIONS = 150  # L-BFGS iterations, from the next stronger penalty's solution


@dataclass(frozen=True)
class Whitening:
    """Whitens (N, D) embeddings: uncorrelated components of variance 1."""

    centre: np.ndarray  # (D,)
    directions: np.ndarray  # (D, D), one per column

    @classmethod
    def of(cls, features: np.ndarray) -> "Whitening":
        """Fits the whitening to (N, D) embeddings."""
        centre = features.mean(axis=0)
        variances, directions = np.linalg.eigh(np.cov((features - centre).astype(np.float64).T, bias=True))
        least = max(LEAST_VARIANCE * variances.mean(), 1e-12)
        return cls(centre, (directions / np.sqrt(variances.clip(least))).astype(np.float32))

    def __call__(self, features: np.ndarray) -> np.ndarray:
        return (features - self.centre) @ self.directions


def right_for_any(predicted: np.ndarray, classes: np.ndarray, products: np.ndarray) -> np.ndarray:
    """Compares (R,): True for a row whose predicted class is that of any row of its product."""
    _, place = np.unique(products, return_inverse=True)
    return (np.bincount(place, predicted == classes) > 0)[place]


def first_of_each(products: np.ndarray) -> np.ndarray:
    """Mask (R,) of the first row of each product."""
    mask = np.zeros(len(products), dtype=bool)
    mask[np.unique(products, return_index=True)[1]] = True
    return mask


@dataclass(frozen=True)
class Probe:
    """A fitted probe, with its ``decay`` and its accuracy on held-out products."""

    whitening: Whitening
    model: LogisticRegression
    decay: float
    val_accuracy: float

    def predict(self, features: np.ndarray) -> np.ndarray:
        """Predicts the likeliest class: (N, D) -> (N,)."""
        return self.model.predict(self.whitening(features))


def fit_probe(
    train: np.ndarray,
    targets: np.ndarray,
    val: np.ndarray,
    val_targets: np.ndarray,
    *,
    products: tuple[np.ndarray, np.ndarray] | None = None,
) -> Probe:
    """Fits probes from strong to weak decay and keeps the best on val; ties go to the stronger.

    Embeddings are (N, D) and (M, D); classes 0..C-1 each occur in train, val may have others, -1. ``products`` names those of
    the rows (N,) and (M,) where one may have several classes, which share its weight and of which any is right.

    Raises:
        NotFinite: embeddings with NaN or infinity, or weights that become so.
    """
    require_finite(train, "embeddings")
    require_finite(val, "embeddings")
    whitening = Whitening.of(train)
    inputs, val_inputs = whitening(train), whitening(val)
    model = LogisticRegression(max_iter=ITERATIONS, warm_start=True)
    best = Probe(whitening, model, DECAYS[0], -1.0)
    fitted, chosen = products or (np.arange(len(train)), np.arange(len(val)))
    _, place, counts = np.unique(fitted, return_inverse=True, return_counts=True)
    weights, first, since_best = 1 / counts[place], first_of_each(chosen), 0
    for decay in DECAYS:
        model.set_params(C=1 / (decay * weights.sum()))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # the weakest penalties stop at ITERATIONS
            warnings.filterwarnings("ignore", "The number of unique classes", UserWarning)  # many values, few products
            model.fit(inputs, targets, sample_weight=weights)
        require_finite(model.coef_, "classes' weights")
        accuracy = float(right_for_any(model.predict(val_inputs), val_targets, chosen)[first].mean())
        since_best += 1
        if accuracy > best.val_accuracy:
            best, since_best = Probe(whitening, copy.copy(model), decay, accuracy), 0
        if since_best == PATIENCE:
            break
    return best

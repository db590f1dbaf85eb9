"""Linear probes: tag classification from frozen embeddings. Tensors in, tensors out.

A probe is a multinomial logistic regression. It minimises the mean cross-entropy plus ``decay / 2`` times the squared weights
(not the biases), which is convex; scikit-learn's ``LogisticRegression(C=1 / (decay * N))`` finds the same. The embeddings are
whitened first, so that probes do not depend on an encoder's scales, one range of penalties suits all encoders, and L-BFGS
converges. The decay is chosen on held-out products, as in CLIP (Radford et al., 2021, A.3).
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from e2.finite import require_finite

DECAYS = (1.0, 1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6)  # strong to weak
PATIENCE = 2  # weaker penalties tried without a better held-out accuracy before the search ends
LEAST_VARIANCE = 1e-4  # floor of a direction's variance, as a share of the mean: nearly constant ones are not blown up
ROWS = 8192  # photos scored at a time
ITERATIONS = 150  # L-BFGS iterations, from the next stronger penalty's solution


@dataclass(frozen=True)
class Whitening:
    """Whitens (N, D) embeddings to (N, D + 1) inputs: uncorrelated components of variance 1, then a column of ones."""

    centre: Tensor  # (D,)
    directions: Tensor  # (D, D), one per column

    @classmethod
    def of(cls, features: Tensor) -> "Whitening":
        """Fits the whitening to (N, D) embeddings."""
        centre = features.mean(dim=0)
        spread = (features - centre).double()
        variances, directions = torch.linalg.eigh(spread.T @ spread / len(spread))
        least = (LEAST_VARIANCE * variances.mean()).clamp(min=1e-12)
        return cls(centre, (directions / variances.clamp(min=least).sqrt()).float())

    def __call__(self, features: Tensor) -> Tensor:
        white = (features - self.centre) @ self.directions
        return torch.cat([white, white.new_ones(len(white), 1)], dim=1)


@dataclass(frozen=True)
class Probe:
    """A fitted probe.

    Attributes:
        whitening: applied to embeddings first.
        weights: (D + 1, C), the last row holds the biases.
        decay: the chosen penalty.
        val_accuracy: accuracy on held-out products.
    """

    whitening: Whitening
    weights: Tensor
    decay: float
    val_accuracy: float

    def predict(self, features: Tensor) -> Tensor:
        """Predicts the likeliest class: (N, D) -> (N,)."""
        return _predict(self.whitening(features), self.weights)


def fit_probe(train: Tensor, targets: Tensor, val: Tensor, val_targets: Tensor) -> Probe:
    """Fits probes from strong to weak decay and keeps the best on val; ties go to the stronger.

    Args:
        train: (N, D) embeddings.
        targets: (N,) int64 classes 0..C-1, each of which occurs.
        val: (M, D) embeddings of other products.
        val_targets: (M,) int64, -1 for a class that train does not have.

    Raises:
        NotFinite: embeddings with NaN or infinity.
    """
    require_finite(train, "embeddings")
    require_finite(val, "embeddings")
    whitening = Whitening.of(train)
    inputs, val_inputs = whitening(train), whitening(val)
    weights = inputs.new_zeros(inputs.shape[1], int(targets.max()) + 1)
    best: Probe | None = None
    since_best = 0
    for decay in DECAYS:
        weights = fit_logistic(inputs, targets, decay, start=weights)
        accuracy = (_predict(val_inputs, weights) == val_targets).double().mean().item()
        since_best += 1
        if best is None or accuracy > best.val_accuracy:
            best, since_best = Probe(whitening, weights, decay, accuracy), 0
        if since_best == PATIENCE:
            break
    assert best is not None  # there are decays to try
    return best


def fit_logistic(inputs: Tensor, targets: Tensor, decay: float, *, start: Tensor) -> Tensor:
    """Minimises mean cross-entropy + decay / 2 * squared weights.

    Args:
        inputs: (N, D + 1), the last column ones.
        targets: (N,) int64.
        decay: penalty of all rows of the weights except the last.
        start: (D + 1, C) initial weights; not modified.

    Returns:
        (D + 1, C)

    Raises:
        NotFinite: a gradient is not finite.
    """
    weights = start.clone()
    optimizer = torch.optim.LBFGS(
        [weights],
        max_iter=ITERATIONS,
        history_size=10,
        tolerance_grad=1e-6,
        tolerance_change=1e-7,
        line_search_fn="strong_wolfe",
    )

    def closure() -> Tensor:
        loss, weights.grad = objective(inputs, targets, decay, weights)
        require_finite(weights.grad, "rows of a probe's gradient")
        return loss

    optimizer.step(closure)
    return weights.detach()


def objective(inputs: Tensor, targets: Tensor, decay: float, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Computes value and gradient in blocks: scores of many photos and classes at once would not fit into memory."""
    loss, gradient = weights.new_zeros(()), torch.zeros_like(weights)
    for rows, right in zip(inputs.split(ROWS), targets.split(ROWS), strict=True):
        log_p = (rows @ weights).log_softmax(dim=1)
        loss += F.nll_loss(log_p, right, reduction="sum")
        error = log_p.exp_()
        error[torch.arange(len(right)), right] -= 1
        gradient.addmm_(rows.T, error)
    penalised = weights.clone()
    penalised[-1] = 0
    return loss / len(inputs) + decay / 2 * penalised.square().sum(), gradient / len(inputs) + decay * penalised


def _predict(inputs: Tensor, weights: Tensor) -> Tensor:
    return torch.cat([(rows @ weights).argmax(dim=1) for rows in inputs.split(ROWS)])

"""Interpolates between the weights of the start model and the trained one, against forgetting, at no inference cost.

WiSE-FT (Wortsman et al., CVPR 2022, "Robust fine-tuning of zero-shot models"): (1 - alpha) * start + alpha * trained. At 0
this is the start model, at 1 the trained one; values between are often better than either on old and new data together.

*All* weights are interpolated, including E2's new ones: gates and shares start at zero, so alpha = 0 gives the start model's
embeddings exactly.

The start model is rebuilt from the run's settings (weights and seed) and verified by the hash in ``config.json``; keeping a
copy would double a run's size on disk.
"""

from pathlib import Path

import torch
from torch import Tensor

from e2.checkpoint import CONFIG, WEIGHTS, read_config, read_metadata, read_tensors, tensors_sha256, weights_of, write_weights
from e2.config import TrainConfig
from e2.errors import InputError
from e2.settings import from_dict
from e2.training.start import start_model

MARK = "wise_ft"  # metadata of interpolated weights


def interpolated(start: dict[str, Tensor], trained: dict[str, Tensor], alpha: float) -> dict[str, Tensor]:
    """Computes (1 - alpha) * start + alpha * trained, exact at both ends; non-float tensors stay as trained."""
    return {name: torch.lerp(start[name], end, alpha) if end.is_floating_point() else end for name, end in trained.items()}


def check_alpha(alpha: float) -> None:
    """Refuses an alpha outside 0 to 1."""
    if not 0 <= alpha <= 1:
        raise InputError(f"alpha must lie between 0 (start model) and 1 (trained model), got {alpha}")


def is_interpolated(folder: Path) -> bool:
    """True if the checkpoint's weights are interpolated."""
    return MARK in read_metadata(folder / WEIGHTS)


def both_ends(folder: Path) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Returns the weights that a run started from and those that it ended with."""
    content = read_config(folder)
    if content.get("start_sha256") is None:
        raise InputError(f"{folder} was not trained from pre-trained weights: there is nothing to go back to")
    trained = read_tensors(folder / WEIGHTS)
    if is_interpolated(folder):
        raise InputError(f"{folder} holds interpolated weights already; give the run that was trained without --wise-ft")
    config = from_dict(TrainConfig, content["training"], f"{folder / CONFIG}: training")
    with torch.random.fork_rng():
        start, _, _ = start_model(config)
    if tensors_sha256(start.clip.state_dict()) != content["start_sha256"]:
        raise InputError(f"the weights {config.pretrained or config.backbone} have changed since {folder} was trained")
    return weights_of(start), trained


def interpolate_checkpoint(folder: Path, alpha: float) -> None:
    """Replaces a checkpoint's weights by interpolated ones, unless done before."""
    check_alpha(alpha)
    if is_interpolated(folder):
        return
    start, trained = both_ends(folder)
    write_weights(interpolated(start, trained, alpha), folder / WEIGHTS, {**read_metadata(folder / WEIGHTS), MARK: str(alpha)})

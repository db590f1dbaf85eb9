"""Trackers of experiments, run by accelerate: each gets the rows of ``log.csv``, and most the settings of the run."""

import contextlib
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from accelerate.tracking import get_available_trackers

from e2.config import TrainConfig
from e2.errors import InputError
from e2.extras import extra
from e2.settings import flattened, to_dict

PROJECT = "e2"  # under which trackers keep runs, each by the name of its folder
BOARD = "tensorboard"  # name of the usual tracker, and of its folder in that of a run


def installed(config: TrainConfig) -> list[str] | None:
    """Trackers that a run can have, None = none; a run goes on without TensorBoard.

    Raises:
        InputError: another one is not installed.
    """
    available = {str(kind) for kind in get_available_trackers()}
    found: list[str] = [name for name in config.trackers if name in available]
    for name in config.trackers:
        if name not in (BOARD, *found):
            raise InputError(f"trackers: {name} is not installed; pip install {name}, or leave it out")
    return found or None


def start_trackers(accelerator: Accelerator, config: TrainConfig, out: Path, step: int, say: Callable[[str], None]) -> None:
    """Starts the trackers of a run that goes on from a step; says it where TensorBoard is missing."""
    options: dict[str, dict[str, Any]] = {
        BOARD: {"purge_step": step},
        "wandb": {"name": out.name, "dir": str(out), "mode": os.environ.get("WANDB_MODE", "offline")},
        "trackio": {"name": out.name},
        "mlflow": {"run_name": out.name},
    }
    with contextlib.redirect_stdout(sys.stderr):  # results alone go to stdout, and trackio talks
        accelerator.init_trackers(PROJECT, init_kwargs=options)
        for tracker in accelerator.trackers:
            if tracker.name != BOARD:  # it would show them as a further run
                tracker.store_init_configuration(flattened(to_dict(config)))
    if BOARD in config.trackers and BOARD not in map(str, accelerator.log_with):
        try:
            with extra("tensorboard", "a curve in TensorBoard"):
                import tensorboard  # noqa: F401
        except InputError as missing:
            say(f"{missing}; log.csv holds the same values")


def log_row(accelerator: Accelerator, row: Mapping[str, Any], step: int) -> None:
    """Sends a row of numbers by name to all trackers, from the main process."""
    for tracker in accelerator.trackers:
        plain = tracker.name == "mlflow"  # it refuses names with an @
        tracker.log({name.replace("@", "_at_") if plain else name: value for name, value in row.items()}, step=step)


def finish_trackers(accelerator: Accelerator) -> None:
    """Ends the trackers of a run."""
    with contextlib.redirect_stdout(sys.stderr):
        for tracker in accelerator.trackers:
            tracker.finish()
            if tracker.name == "trackio" and accelerator.is_main_process:
                sys.modules["trackio"].finish()  # else at exit, on stdout

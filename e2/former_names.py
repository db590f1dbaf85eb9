"""Checkpoints of format 1 (early builds of version 0.1) under today's names.

Format 2 calls what E2 adds on disk what it is called in memory, ``reader.*`` instead of ``e2.*``, and the grid cells that
tokens choose among *locations* instead of *places*. No weight of format 2 begins with ``e2.``.
"""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

WEIGHTS = {"e2.local.": "reader.locations.", "e2.": "reader."}


def current_weights(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors of either format under the names of format 2."""
    return {_current(name): tensor for name, tensor in tensors.items()}


def _current(name: str) -> str:
    for former, current in WEIGHTS.items():
        if name.startswith(former):
            return current + name.removeprefix(former).replace(".norm_places.", ".norm_locations.")
    return name


def current_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """The ``config.json`` of a checkpoint, of either format, as format 2 has it."""
    if config.get("format") != 1:
        return dict(config)
    training = config.get("training")
    if isinstance(training, Mapping) and "model" in training:
        training = {**training, "model": _current_settings(training["model"])}
    return {**config, "format": 2, "model": _current_settings(config.get("model")), "training": training}


def _current_settings(model: Any) -> Any:
    if not isinstance(model, Mapping):
        return model
    return {"locations" if name == "places" else name: value for name, value in model.items()}

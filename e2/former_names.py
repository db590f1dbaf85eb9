"""Checkpoints of earlier builds of version 0.1 under today's names.

Format 2 calls what E2 adds on disk what it is called in memory, ``reader.*`` instead of ``e2.*``, and the grid cells that
tokens choose among *locations* instead of *places*. No weight of format 2 begins with ``e2.``. Format 3 gives each token a
query of its own in each fusion block; the tokens of earlier models have none, which is a query of zeros. Format 4 hides the
patches that a pre-trained tower uses as registers; the tokens of earlier models read them. Format 5 lets region embeddings
read the backbone's pooled output; those of earlier models are read from tokens alone.
"""

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

FUSION_QUERY = re.compile(r"reader\.fusions\.\d+\.query\.weight")
WEIGHTS = {"e2.local.": "reader.locations.", "e2.": "reader."}
FORMER_LAYOUT = {"locations": "local", "gates": "stream", "registers": "read", "regions": "tokens"}  # before it was a setting


def current_weights(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors of any format under the names of format 5, with what format 3 added."""
    named = {_current(name): tensor for name, tensor in tensors.items()}
    for name in [name for name in named if FUSION_QUERY.fullmatch(name) and "reader.tokens" in named]:
        shape = len(named["reader.tokens"]), len(named[name])
        named.setdefault(name.replace("query.weight", "own_queries"), torch.zeros(shape, dtype=named[name].dtype))
    return named


def _current(name: str) -> str:
    for former, current in WEIGHTS.items():
        if name.startswith(former):
            return current + name.removeprefix(former).replace(".norm_places.", ".norm_locations.")
    return name


def current_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """The ``config.json`` of a checkpoint, of any format, as format 5 has it."""
    if config.get("format") not in (1, 2, 3, 4):
        return dict(config)
    training = config.get("training")
    if isinstance(training, Mapping) and "model" in training:
        training = {**training, "model": _current_settings(training["model"])}
    return {**config, "format": 5, "model": _current_settings(config.get("model")), "training": training}


def _current_settings(model: Any) -> Any:
    if not isinstance(model, Mapping):
        return model
    named = {"locations" if name == "places" else name: value for name, value in model.items()}
    return {**FORMER_LAYOUT, **named}

"""Continues from an earlier E2 model: keeps what it learnt besides its backbone, as far as it fits the new model.

Tokens, their queries, gates, shares, norms and heads belong to one entity each. They follow their entity by name, in any
order and with any others; the rest is kept where name and shape agree. What is dropped is named.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from e2.accounting import listed
from e2.config import ModelConfig
from e2.errors import InputError
from e2.former_names import current_config, current_weights
from e2.hf_weights import read_json
from e2.model import E2
from e2.notes import note
from e2.reader import token_slices
from e2.settings import from_dict, to_dict
from e2.weights import NEW_PREFIX

WEIGHTS, CONFIG = "model.safetensors", "config.json"
BY_TOKEN = ("tokens", "own_queries")  # tensors whose first axis is the tokens
BY_ROW = ("gates.", "shares", "heads")  # tensors whose first axis is the entities
PER_ENTITY = "norms."  # one module per entity
OF_THE_SHAPE = ("tags", "tokens", "layers", "rank")  # settings whose differences show in names and shapes


@dataclass(frozen=True)
class Earlier:
    """Parts that an earlier run learnt besides its backbone."""

    source: str  # the folder or file, as given
    config: ModelConfig
    state: dict[str, Tensor]


def earlier_reader(pretrained: str | Path) -> Earlier | None:
    """Reads the reader of the run whose folder or weights file was given as a start; None if there is nothing to carry over.

    Raises:
        InputError: its config.json is damaged.
    """
    path = Path(pretrained)
    file = path / WEIGHTS if path.is_dir() else path
    if file.suffix != ".safetensors" or not file.is_file():
        return None
    try:
        with safe_open(file, "pt") as stored:
            names = [name for name in stored.keys() if name.startswith((NEW_PREFIX, "e2."))]  # noqa: SIM118, safe_open is not a mapping
            tensors = current_weights({name: stored.get_tensor(name) for name in names})
    except SafetensorError as error:
        raise InputError(f"{file} is damaged or no safetensors file ({error}); restore it") from error
    if not tensors:
        return None
    state = {name.removeprefix(NEW_PREFIX): tensor for name, tensor in tensors.items()}
    settings = current_config(read_json(file.parent / CONFIG)).get("model")
    if settings is None:
        note(f"{file} holds selection tokens, but no {CONFIG} beside it says for which entities: they are left out")
        return None
    return Earlier(str(pretrained), from_dict(ModelConfig, settings, f"{file.parent / CONFIG}: model"), state)


@torch.no_grad()
def carry_over(earlier: Earlier, model: E2) -> None:
    """Fills the model's reader with what fits, and reports what does not."""
    source = earlier.source
    if model.reader is None:
        note(
            f"{source} has selection tokens ({', '.join(earlier.config.tags)}), but a model without tags cannot use them: "
            "they are left out, so its image embeddings change"
        )
        return
    try:
        old = parts_by_entity(earlier.state, earlier.config)
    except (IndexError, ValueError) as error:
        raise InputError(f"{source} is damaged: its tensors do not match the entities in its {CONFIG}") from error
    new = parts_by_entity(model.reader.state_dict(), model.config)  # views: filling them fills the model
    kept = {name for name, part in new.items() if name in old and old[name].shape == part.shape}
    for name in kept:
        new[name].copy_(old[name])
    model.goes_on = bool(kept)
    reshaped = {name for name in old.keys() & new.keys() if name not in kept}
    told = {
        "left out": sorted(old.keys() - new.keys()),
        "left out for their shape": sorted(reshaped),
        "new": sorted(new.keys() - old.keys()),
        "other settings than its own": _changed(earlier.config, model.config),
    }
    if said := "; ".join(f"{kind}: {listed(names)}" for kind, names in told.items() if names):
        note(f"continuing from {source}, with {len(kept)} of its {len(old)} parts besides the backbone; {said}")


def parts_by_entity(state: Mapping[str, Tensor], config: ModelConfig) -> dict[str, Tensor]:
    """A reader's tensors, with those of entities split into views named after the entity."""
    rows = token_slices(config.token_counts())
    parts: dict[str, Tensor] = {}
    for name, tensor in state.items():
        if name.split(".")[-1] in BY_TOKEN:
            parts |= {f"{entity}.{name}": tensor[own] for entity, own in rows.items()}
        elif name.startswith(BY_ROW):
            parts |= {f"{entity}.{name}": tensor[row] for row, entity in enumerate(rows)}
        elif name.startswith(PER_ENTITY):
            _, row, rest = name.split(".", 2)
            parts[f"{list(rows)[int(row)]}.{PER_ENTITY}{rest}"] = tensor
        else:
            parts[name] = tensor
    return parts


def _changed(old: ModelConfig, new: ModelConfig) -> list[str]:
    before, after = to_dict(old), to_dict(new)
    return [
        f"model.{name}={after[name]} ({before[name]})"
        for name in after
        if name not in OF_THE_SHAPE and before[name] != after[name]
    ]

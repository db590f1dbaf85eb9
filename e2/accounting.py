"""Loads weights with every tensor accounted for: missing, leftover and misshapen ones are named."""

from collections import Counter
from collections.abc import Iterable, Mapping

from torch import Tensor, nn

from e2.errors import InputError

MOST_NAMES = 8  # in one message; more are grouped by common prefix


def load_exactly(module: nn.Module, state: Mapping[str, Tensor], where: str) -> None:
    """Fills a module from a state dict; ``where`` begins the message, which names all tensors in which the two differ."""
    if found := misfits({name: tensor.shape for name, tensor in module.state_dict().items()}, state):
        raise InputError(f"{where}: {found}")
    module.load_state_dict(dict(state))


def misfits(wanted: Mapping[str, Iterable[int]], state: Mapping[str, Tensor]) -> str:
    """Describes what keeps a state dict from filling tensors of these names and shapes; empty if nothing does."""
    reshaped = [
        f"{name} {tuple(state[name].shape)} instead of {tuple(shape)}"
        for name, shape in wanted.items()
        if name in state and tuple(state[name].shape) != tuple(shape)
    ]
    kinds = {
        "missing": [name for name in wanted if name not in state],
        "left over": [name for name in state if name not in wanted],
        "of another shape": reshaped,
    }
    return "; ".join(f"{kind}: {listed(names)}" for kind, names in kinds.items() if names)


def listed(names: Iterable[str]) -> str:
    """Returns the names; if there are many, their common prefixes with counts: ``visual.blocks.* (48)``."""
    names = list(names)
    groups = Counter(names)
    depth = max((name.count(".") for name in names), default=0)
    while len(groups) > MOST_NAMES and depth:
        groups = Counter(_beginning(name, depth) for name in names)
        depth -= 1
    shown = [f"{name} ({count})" if name.endswith(".*") else name for name, count in groups.items()][: 2 * MOST_NAMES]
    return ", ".join(shown) + (f" and {len(groups) - len(shown)} more" if len(groups) > len(shown) else "")


def _beginning(name: str, depth: int) -> str:
    parts = name.split(".")
    return name if len(parts) <= depth else ".".join([*parts[:depth], "*"])

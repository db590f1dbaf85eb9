"""Values of a training's options that are not given, as its help shows them."""

import re
from typing import Any

from e2.config import DataConfig, TrainConfig
from e2.settings import to_dict
from e2.training.presets import PRESETS


def unless_given() -> dict[str, str]:
    """Setting -> its value in the configuration, and in a preset that differs; or, of a null, what it stands for.

    Presets of one model are left out: what they set is what they are named after.
    """
    values, meanings = _flat(to_dict(TrainConfig())), _meanings()
    shown = {name: _shown(value) if value is not None else meanings.get(name) for name, value in values.items() if value != ()}
    for preset, changes in PRESETS.items():
        if "backbone" in changes:
            continue
        shown |= {name: f"{shown[name]}; {preset}: {_shown(value)}" for name, value in _flat(changes).items() if name in shown}
    return {name: said for name, said in shown.items() if said}


def _flat(values: dict[str, Any]) -> dict[str, Any]:
    """The settings that options have: those at the top and those of the data."""
    values = values | values.get("data", {})
    return {name: value for name, value in values.items() if not isinstance(value, dict)}


def _shown(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, tuple | list) else str(value)


def _meanings() -> dict[str, str]:
    fields = {**TrainConfig.__pydantic_fields__, **DataConfig.__pydantic_fields__}  # type: ignore[attr-defined]
    found = {name: re.search(r"null = (.+)", field.description or "") for name, field in fields.items()}
    return {name: match[1] for name, match in found.items() if match}

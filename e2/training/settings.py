"""``KEY=VALUE`` settings of a command line, for every command that takes some."""

import json
import math
from collections.abc import Sequence
from dataclasses import fields
from typing import Any

import yaml

from e2.errors import InputError, printable


def parse_settings(settings: Sequence[str]) -> dict[str, Any]:
    """``KEY=VALUE`` settings of a command line, the values in YAML; of a key given twice the last.

    Raises:
        InputError: a setting of another form, or a value that is not YAML.

    Example:
        >>> parse_settings(["optim.lr=1e-4", "tags=[brand, season]", "name=red"])
        {'optim.lr': 0.0001, 'tags': ['brand', 'season'], 'name': 'red'}
    """
    found: dict[str, Any] = {}
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not key or not equals:
            raise InputError(f"--set {printable(setting)}: write KEY=VALUE")
        try:
            found[key] = _yaml_value(value)
        except (yaml.YAMLError, ValueError, RecursionError) as error:  # a date of month 13 is a ValueError
            raise InputError(f"--set {printable(setting)}: the value is not valid YAML") from error
    return found


def _yaml_value(text: str) -> Any:
    value = yaml.safe_load(text)
    if not isinstance(value, str):
        return value
    try:
        number = json.loads(text, parse_constant=str)  # 1e-4 is a number, which YAML 1.1 takes for a word
    except ValueError:
        return value
    return number if isinstance(number, float) else value


def require_finite(config: Any) -> None:
    """Checks the numbers of a dataclass: comparisons with NaN are all false, so that it would pass checks of a range.

    Raises:
        InputError: one is NaN or infinite.
    """
    for field in fields(config):
        value = getattr(config, field.name)
        if isinstance(value, float) and not math.isfinite(value):
            raise InputError(f"{field.name} {value}: must be a finite number")

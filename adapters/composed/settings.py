"""``KEY=VALUE`` settings of the command line."""

import json
from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from adapters.composed.fitting import FitConfig
from e2.errors import InputError


def parse_settings(settings: Sequence[str]) -> dict[str, Any]:
    """``KEY=VALUE``, values JSON where they can be, else strings.

    Raises:
        InputError: a setting of another form.
    """
    found: dict[str, Any] = {}
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not key or not equals:
            raise InputError(f"--set {setting!r}: write KEY=VALUE")
        try:
            found[key] = json.loads(value)
        except ValueError:
            found[key] = value
    return found


def fit_config(settings: Sequence[str], **given: Any) -> FitConfig:
    """The training's settings; those given as None stay at their defaults.

    Raises:
        InputError: an unknown key, or a value of the wrong kind.
    """
    values = parse_settings(settings) | {name: value for name, value in given.items() if value is not None}
    known = [field.name for field in fields(FitConfig)]
    for key in values:
        if key not in known:
            raise InputError(f"--set {key}: unknown setting; there are {', '.join(known)}")
    try:
        return FitConfig(**values)
    except TypeError as error:
        raise InputError(f"--set: a value of the wrong kind among {values}: {error}") from error

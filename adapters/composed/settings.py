"""The training's settings from the command line."""

from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from adapters.composed.fitting import FitConfig
from e2.errors import InputError
from e2.settings import parse_settings


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

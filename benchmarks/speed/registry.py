"""Measurements of `e2 speed` by name, with options read from their signatures."""

import importlib
import inspect
from collections.abc import Callable, Iterable
from typing import Any

from e2.errors import InputError, require_choice

MEASUREMENTS = (
    "train-step",
    "trainers",
    "cached-step",
    "method-steps",
    "retrieval",
    "growth",
    "input-pipeline",
    "photo-views",
    "memory-projection",
    "decap-greedy",
    "capdec-beam",
    "captioning-scores",
    "top-k",
    "oti",
    "index-growth",
    "index-engines",
)
FUNCTIONS = {"decap-greedy": "decoding.greedy", "capdec-beam": "decoding.beam"}  # `run` of the others' modules


def measurement(name: str) -> Callable[..., dict[str, Any]]:
    """Returns the measuring function.

    Raises:
        InputError: there is none of that name.
    """
    require_choice("measurement", name, MEASUREMENTS)
    module, _, function = FUNCTIONS.get(name, name.replace("-", "_")).partition(".")
    return getattr(importlib.import_module(f"e2.benchmarks.speed.{module}"), function or "run")


def defaults(run: Callable) -> dict[str, Any]:
    """Maps a measurement's options to defaults."""
    return {name: parameter.default for name, parameter in inspect.signature(run).parameters.items()}


def read_options(run: Callable, settings: Iterable[str]) -> dict[str, Any]:
    """Parses ``KEY=VALUE`` texts into arguments of ``run``, each of its default's type; commas separate several values.

    Raises:
        InputError: an option that the measurement does not have, or a value of another type.
    """
    known, options = defaults(run), {}
    for setting in settings:
        name, equals, value = setting.partition("=")
        if not equals or name not in known:
            raise InputError(f"--set {setting}: write KEY=VALUE; this measurement has {', '.join(known)}")
        try:
            options[name] = _read(value, known[name])
        except ValueError as error:
            raise InputError(f"--set {setting}: {value!r} is no {type(known[name]).__name__}") from error
    return options


def _read(value: str, default: Any) -> Any:
    if isinstance(default, bool):
        if value not in ("true", "false"):
            raise ValueError
        return value == "true"
    if isinstance(default, tuple):
        return tuple(_read(part.strip(), default[0]) for part in value.split(","))
    number = type(default)(value)
    if isinstance(number, (int, float)) and not 0 <= number < float("inf"):
        raise ValueError
    return number

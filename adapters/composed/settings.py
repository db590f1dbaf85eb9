"""Parses ``--set KEY=VALUE`` of composers and of their fitting, and checks every value's type.

Values are compared with type hints by the rules of `e2.settings`; ranges are checked by the receiver.
Sources (captions, phrases, vocabularies, rewriters) are names or objects.
"""

import contextlib
import math
import typing
from collections.abc import Mapping, Sequence
from dataclasses import is_dataclass, make_dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from e2.adapters.composed.chat_client import EndpointConfig
from e2.adapters.composed.fitting import FitConfig
from e2.errors import InputError, printable
from e2.settings import from_dict
from e2.training.settings import parse_settings

SOURCES = {"captions": "captions", "rewriter": "rewrite"}  # option -> method that an object in place of a name must have
TEXTS = TypeAdapter(dict[str, list[str]])  # of vocabularies and phrases
WORDS = {float: "a finite number", int: "a whole number", str: "a text", bool: "true or false", type(None): "null"}
MADE = ("return", "encoder", "mapping", "input", "origin")  # constructor arguments that users do not set


def parse_options(settings: Sequence[str]) -> dict[str, Any]:
    """Parses ``KEY=VALUE`` settings of one composer."""
    options = parse_settings(settings)
    if "path" in options:
        raise InputError("--set path: name the folder of a fitted composer by --composer")
    return options


def option_hints(method: type) -> dict[str, Any]:
    """Option -> type of a composer, including those of its rewriter's server."""
    hints = typing.get_type_hints(method.__init__)  # type: ignore[misc]  # that of this very class is meant
    if "rewriter" in hints:
        server = typing.get_type_hints(EndpointConfig)
        hints |= {"vocabulary": Mapping, "cache": str | None, **{key: server[key] for key in server if key != "url"}}
    return {key: hint for key, hint in hints.items() if key not in MADE}


def composer_options(method: type, options: Mapping[str, Any]) -> dict[str, Any]:
    """Checks a composer's options."""
    hints, name = option_hints(method), getattr(method, "name", method.__name__)
    return {key: _option(name, key, value, hints) for key, value in options.items()}


def fit_config(settings: Sequence[str], **given: Any) -> FitConfig:
    """Makes the training's settings; None means the default."""
    values = parse_settings(settings) | {name: value for name, value in given.items() if value is not None}
    return from_dict(FitConfig, values, "fit")


def _option(name: str, key: str, value: Any, hints: Mapping[str, Any]) -> Any:
    """Converts a value to its type: whole floats to integers, numbers in text to numbers, lists to tuples."""
    if key not in hints:
        raise InputError(f"{name} has no option {printable(key)!r}; it has {', '.join(hints)}")
    hint, wrong = hints[key], f"{name}: {key}={printable(repr(value))[:80]} is of the wrong kind"
    if key in ("vocabulary", "phrases", *SOURCES):
        if not _is_source(key, value):
            raise InputError(f"{wrong}; name a file or a folder")
        return value
    if is_dataclass(value) and isinstance(value, typing.get_args(hint) or hint):
        return value
    try:
        found = getattr(from_dict(make_dataclass("Setting", [(key, hint)]), {key: value}), key)
    except InputError:
        found = math.nan
    if isinstance(found, float) and not math.isfinite(found):
        kinds = [WORDS.get(kind, getattr(kind, "__name__", str(kind))) for kind in typing.get_args(hint) or (hint,)]
        raise InputError(f"{wrong}; it takes {' or '.join(kinds)}")
    return found


def _is_source(key: str, value: Any) -> bool:
    """True for a name, or an object with the required method or texts."""
    if isinstance(value, Path) or isinstance(value, str) and value.strip():
        return True
    if key in SOURCES:
        return callable(getattr(value, SOURCES[key], None))
    with contextlib.suppress(ValidationError):
        return bool(TEXTS.validate_python(value))
    return False

"""Dataclasses of settings, checked by pydantic, and how nested plain values become them; an error is one line."""

import difflib
import functools
import typing
from collections.abc import Mapping
from dataclasses import asdict, field, is_dataclass
from typing import Annotated, Any, TypeVar, cast

import pydantic
from pydantic import Field, TypeAdapter, ValidationError
from typing_extensions import dataclass_transform

from e2.errors import InputError, printable

T = TypeVar("T")

Natural = Annotated[int, Field(ge=0)]
Count = Annotated[int, Field(ge=1)]
Seed = Annotated[int, Field(ge=0, le=2**63 - 1)]
Weight = Annotated[float, Field(ge=0)]
Positive = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(ge=0, le=1)]
Fraction = Annotated[float, Field(ge=0, lt=1)]
Temperature = Annotated[float, Field(gt=0, le=1)]
Scale = Annotated[float, Field(ge=1)]


def setting(default: Any, description: str) -> Any:
    """Makes a field with a default and its description on the reference page."""
    return Field(default, description=description)


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def settings(cls: type[T]) -> type[T]:
    """A frozen dataclass whose values are checked against their types; wrong and unknown ones are an :class:`InputError`."""
    checked = pydantic.dataclasses.dataclass(cls, frozen=True, config={"allow_inf_nan": False, "extra": "forbid"})
    plain = checked.__init__

    @functools.wraps(plain)
    def init(self: T, *args: Any, **values: Any) -> None:
        try:
            plain(self, *args, **values)
        except ValidationError as error:
            _refuse_unknown(checked, values, cls.__name__)
            raise InputError(explained(error, cls.__name__)) from error

    checked.__init__ = init  # type: ignore[method-assign,assignment]
    return cast("type[T]", checked)


def to_dict(config: Any) -> dict[str, Any]:
    """Converts a config to nested plain values, as JSON has them."""
    return asdict(config)


def from_dict(cls: type[T], values: Mapping[str, Any], where: str = "config") -> T:
    """Builds a config, or any other dataclass, from nested plain values.

    Lists become tuples, and numbers in text (YAML's 5e-4) numbers.

    Raises:
        InputError: an unknown key or a value of the wrong type; the message lists the keys that exist.
    """
    _refuse_unknown(cls, values, where)
    try:
        return TypeAdapter(cls).validate_python(values)
    except ValidationError as error:
        raise InputError(explained(error, where)) from error


def _refuse_unknown(cls: Any, values: Any, where: str) -> None:
    """Refuses unknown keys, and true or false for a number, which pydantic takes for 1 and 0."""
    if not isinstance(values, Mapping):
        raise InputError(f"{where} must be a mapping of settings, got {values!r}")
    hints = typing.get_type_hints(cls)
    for key, value in values.items():
        if key not in hints:
            near = difflib.get_close_matches(str(key), hints, 1)
            hint = f"did you mean {near[0]}? " if near else ""
            raise InputError(f"{where}: unknown setting {printable(str(key))}; {hint}there are {', '.join(sorted(hints))}")
        if is_dataclass(hints[key]) and not is_dataclass(value):
            _refuse_unknown(hints[key], value, f"{where}.{key}")
        elif isinstance(value, bool) and bool not in (hints[key], *typing.get_args(hints[key])):
            raise InputError(f"{where}.{key}: {value!r} is not among the values that it takes")


KINDS = {"int": "a whole number", "float": "a number", "string": "a text", "bool": "true or false", "tuple": "a list"}
BOUNDS = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}


def explained(error: ValidationError, where: str) -> str:
    """Writes one line on the value that does not fit; for a union, on the form that came nearest."""
    found = max(error.errors(include_url=False), key=lambda each: len(each["loc"]))
    kind, context, value = found["type"], found.get("ctx", {}), printable(repr(found["input"]))
    names = [str(part) for part in found["loc"] if str(part).isidentifier() and part not in ("int", "float")]
    name = ".".join([where, *names])
    if kind == "value_error":
        raised = context["error"]
        return str(raised) if isinstance(raised, InputError) else f"{name} {value} {raised}"
    if kind == "literal_error":
        choices = context["expected"].replace("'", "").replace(" or ", ", ")
        return f"{name}: unknown {name.rpartition('.')[2]} {value}; choose one of {choices}"
    for bound, words in BOUNDS.items():
        if bound in context:
            return f"{name} must be {words} {context[bound]:g}, got {value}"
    if kind == "finite_number":
        return f"{name} must be finite, got {value}"
    return f"{name}: {value} is not {KINDS.get(kind.partition('_')[0], 'of the kind that it takes')}"


def merged(config: Any, changes: Mapping[str, Any], where: str = "config") -> Any:
    """A copy of ``config`` with nested changes; checked like ``from_dict``."""
    return from_dict(type(config), deep_update(to_dict(config), changes), where)


def deep_update(base: Any, changes: Any) -> Any:
    """Merges nested changes into nested mappings."""
    if not (isinstance(base, dict) and isinstance(changes, Mapping)):
        return changes
    return {**base, **{key: deep_update(base.get(key), value) for key, value in changes.items()}}


def with_key(key: str, value: Any) -> dict[str, Any]:
    """``("optim.lr", 1e-4)`` -> ``{"optim": {"lr": 1e-4}}``."""
    for part in reversed(key.split(".")):
        value = {part: value}
    return value


def flattened(values: Mapping[str, Any], joint: str = ".", prefix: str = "") -> dict[str, Any]:
    """``{"optim": {"lr": 1e-4}}`` -> ``{"optim.lr": 1e-4}``."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat |= flattened(value, joint, f"{prefix}{key}{joint}") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat

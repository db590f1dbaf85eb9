"""Parses ``KEY=VALUE`` settings of a command line."""

import json
from collections.abc import Sequence
from typing import Any

import yaml

from e2.errors import InputError, printable
from e2.json_once import RepeatedKey, first_repeated


def parse_settings(settings: Sequence[str]) -> dict[str, Any]:
    """Parses ``KEY=VALUE`` settings with values in YAML; the last one of a key wins.

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
        except RepeatedKey as error:
            raise InputError(f"--set {printable(setting)}: the value names {printable(str(error))!r} twice") from error
        except (yaml.YAMLError, ValueError, RecursionError) as error:  # a date of month 13 is a ValueError
            raise InputError(f"--set {printable(setting)}: the value is not valid YAML") from error
    return found


def yaml_once(text: str) -> Any:
    """Parses YAML safely.

    Raises:
        RepeatedKey: a mapping names a key twice.
        yaml.YAMLError, ValueError, RecursionError: as `yaml.safe_load`.
    """
    loader = _Once(text)
    try:
        return loader.get_single_data()
    finally:
        loader.dispose()


class _Once(yaml.SafeLoader):
    """Constructs mappings that name each key once; keys that `<<` merges may be named again."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = (key for key, _ in node.value if isinstance(key, yaml.ScalarNode))
        if (twice := first_repeated(key.value for key in keys if not key.tag.endswith(":merge"))) is not None:
            raise RepeatedKey(twice)
        return super().construct_mapping(node, deep)


def _yaml_value(text: str) -> Any:
    value = yaml_once(text)
    if not isinstance(value, str):
        return value
    try:
        number = json.loads(text, parse_constant=str)  # 1e-4 is a number, but a word in YAML 1.1
    except ValueError:
        return value
    return number if isinstance(number, float) else value

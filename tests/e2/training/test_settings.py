"""``KEY=VALUE`` settings: YAML, numbers however they are written, one line for what is neither."""

import pytest

from e2.errors import InputError
from e2.training.settings import parse_settings


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("5e-4", 5e-4),  # to YAML 1.1 alone a word
        ("1e3", 1000.0),
        ("0.5", 0.5),
        ("-3", -3),
        ("true", True),
        ("null", None),
        ("", None),
        ("[brand, season]", ["brand", "season"]),
        ('"5e-4"', "5e-4"),
        ("runs/decap-{encoder}", "runs/decap-{encoder}"),
        ("http://127.0.0.1:8000/v1", "http://127.0.0.1:8000/v1"),
        ("NaN", "NaN"),
        ("a=b", "a=b"),
    ],
)
def test_values_are_yaml(value, expected):
    found = parse_settings([f"key.of={value}"])
    assert found == {"key.of": expected} and type(found["key.of"]) is type(expected)


def test_the_last_of_a_key_counts():
    assert parse_settings(["a=1", "b=2", "a=3"]) == {"a": 3, "b": 2}


@pytest.mark.parametrize("setting", ["lr", "=3", ""])
def test_another_form_is_refused(setting):
    with pytest.raises(InputError, match="^--set .*: write KEY=VALUE$"):
        parse_settings([setting])


@pytest.mark.parametrize("value", ["[1", "{a: b", "2026-13-45", "[" * 5000, "a: b: c", "\x07"])
def test_what_is_no_yaml_is_one_printable_line(value):
    with pytest.raises(InputError, match="is not valid YAML") as error:
        parse_settings([f"a={value}"])
    assert str(error.value).isprintable()

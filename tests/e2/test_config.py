"""Every number of the configuration has a range; a loss that weighs nothing is refused."""

import dataclasses
import re
import typing

import pytest

import e2
from e2.config import ModelConfig, TrainConfig
from e2.errors import InputError
from e2.methods import METHODS
from e2.methods.base import TAG_WEIGHTS
from e2.selection import SELECTORS
from e2.settings import merged, with_key
from e2.training.presets import PRESETS
from tests.conftest import TAGS


def numbers(kind: type, prefix: str = "") -> list[str]:
    """Dotted names of all settings that take a single number."""
    hints, found = typing.get_type_hints(kind), []
    for field in dataclasses.fields(kind):
        hint, name = hints[field.name], prefix + field.name
        if dataclasses.is_dataclass(hint):
            found += numbers(hint, f"{name}.")
        elif {hint, *typing.get_args(hint)} & {int, float}:
            found.append(name)
    return found


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1, "nan"])
@pytest.mark.parametrize("name", [name for name in numbers(TrainConfig) if name != "model.tokens"])
def test_no_number_may_be_negative_or_none(name, value):
    with pytest.raises(InputError, match=name.rpartition(".")[2]):
        merged(TrainConfig(pretrained="somewhere"), with_key(name, value))


def test_a_class_of_settings_refuses_a_name_that_it_does_not_know():
    for made, said in (
        (lambda: ModelConfig(tokns=3), "ModelConfig: unknown setting tokns; did you mean tokens?"),
        (lambda: TrainConfig(model=ModelConfig(), stpes=3), "TrainConfig: unknown setting stpes"),
    ):
        with pytest.raises(InputError, match=re.escape(said)):
            made()


def test_a_gradient_clipped_to_nothing_and_a_photo_of_no_size_are_refused():
    for name, value in (("optim.clip_norm", 0), ("image_size", 0), ("image_size", [224, 0]), ("data.batch_size", 0)):
        with pytest.raises(InputError, match=name):
            merged(TrainConfig(), with_key(name, value))


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("method", "clap", "config.method: unknown method 'clap'; choose one of clip, multifield"),
        ("model.selector", "psychic", "config.model.selector: unknown selector 'psychic'; choose one of hard, soft"),
        ("optim.lr", "fast", "config.optim.lr: 'fast' is not a number"),
        ("optim.lr", True, "config.optim.lr: True is not"),
        ("optim.warmup", 5, "config.optim.warmup must be at most 1, got 5"),
        ("image_size", [224, 0], "config.image_size must be at least 1, got 0"),
        ("model.tokens", {"brand": 0}, "config.model.tokens.brand must be at least 1, got 0"),
        ("loss.region_prompt", "{foo}", "config.loss.region_prompt '{foo}' is not a template"),
        ("model.location", "local", "config.model: unknown setting location; did you mean locations? there are attention, "),
        ("model", 5, "config.model must be a mapping of settings, got 5"),
    ],
)
def test_a_wrong_setting_is_one_line_that_says_what_where_and_how_to_mend_it(name, value, said):
    with pytest.raises(InputError, match=re.escape(said)) as raised:
        merged(TrainConfig(), with_key(name, value))
    assert "\n" not in str(raised.value)


def test_settings_made_in_python_are_checked_too():
    with pytest.raises(InputError, match="ModelConfig.temperature must be at least 0.0001, got 0"):
        ModelConfig(temperature=0)


@pytest.mark.parametrize(
    ("kind", "name", "known"),
    [(TrainConfig, "method", METHODS), (TrainConfig, "preset", PRESETS), (ModelConfig, "selector", SELECTORS)],
)
def test_choices_are_those_of_the_code(kind, name, known):
    assert set(typing.get_args(typing.get_type_hints(kind)[name])) == set(known)


@pytest.mark.parametrize("tags", [TAGS, ()])
@pytest.mark.parametrize("name", list(METHODS))
def test_a_loss_without_any_weight_is_refused(tiny, name, tags):
    kind = METHODS[name]
    if kind.needs_tags and not tags:
        pytest.skip("learns nothing without tags anyway")
    model = e2.create_model_and_transforms(tiny, tags=tags if kind.uses_tokens else ())[0]
    used = [weight for weight in kind.weights if tags or weight not in TAG_WEIGHTS]
    nothing = dataclasses.replace(TrainConfig().loss, **dict.fromkeys(used, 0.0))
    with pytest.raises(InputError, match="loss.global_weight .* 0: there is nothing to learn"):
        kind(model, nothing, tags)
    for weight in used:
        kind(model, dataclasses.replace(nothing, **{weight: 1.0}), tags)

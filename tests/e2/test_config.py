"""Every number of the configuration has a range; a loss that weighs nothing is refused."""

import dataclasses
import typing

import pytest

import e2
from e2.config import TrainConfig, merged, with_key
from e2.errors import InputError
from e2.methods import METHODS
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


def test_a_gradient_clipped_to_nothing_and_a_photo_of_no_size_are_refused():
    for name, value in (("optim.clip_norm", 0), ("image_size", 0), ("image_size", [224, 0]), ("data.batch_size", 0)):
        with pytest.raises(InputError, match=name):
            merged(TrainConfig(), with_key(name, value))


@pytest.mark.parametrize("tags", [TAGS, ()])
@pytest.mark.parametrize("name", list(METHODS))
def test_a_loss_without_any_weight_is_refused(tiny, name, tags):
    kind = METHODS[name]
    if kind.needs_tags and not tags:
        pytest.skip("learns nothing without tags anyway")
    model = e2.create_model_and_transforms(tiny, tags=tags if kind.uses_tokens else ())[0]
    used = [weight for weight in kind.weights if tags or weight != "region_weight"]
    nothing = dataclasses.replace(TrainConfig().loss, **dict.fromkeys(used, 0.0))
    with pytest.raises(InputError, match="loss.global_weight .* 0: there is nothing to learn"):
        kind(model, nothing, tags)
    for weight in used:
        kind(model, dataclasses.replace(nothing, **{weight: 1.0}), tags)

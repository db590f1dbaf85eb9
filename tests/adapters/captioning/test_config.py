"""A captioner's settings: defaults of its method, and what is asked for beside them."""

import pytest

from e2.adapters.captioning.config import default_config, further_settings
from e2.errors import InputError


def test_options_win_over_the_methods_defaults():
    assert default_config("decap").label_smoothing == 0.1
    capdec = default_config("capdec", prefix_length=4, lr="5e-4", epochs=2)
    assert (capdec.mapper, capdec.prefix_length, capdec.lr, capdec.epochs) == ("mlp", 4, 5e-4, 2.0)
    assert default_config("decap", language_model="gpt2").lr == 5e-5
    assert default_config("decap", language_model="gpt2", lr=1e-3).lr == 1e-3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"width": "wide"}, "captioner.width: 'wide' is not a whole number"),
        ({"uniform": "yes please"}, "captioner.uniform"),
        ({"colour": 3}, "unknown setting colour"),
        ({"layers": 0}, "captioner.layers must be at least 1, got 0"),
        ({"lr": float("inf")}, "captioner.lr must be finite, got inf"),
        ({"variance": float("nan")}, "variance"),
        ({"dropout": 1.5}, "captioner.dropout must be at most 1, got 1.5"),
        ({"clip_norm": 0}, "captioner.clip_norm must be above 0, got 0"),
        ({"weight_decay": -1}, "captioner.weight_decay must be at least 0, got -1"),
        ({"target_cosine": 2}, "captioner.target_cosine must be at most 1, got 2"),
    ],
)
def test_wrong_values_are_one_line(options, message):
    with pytest.raises(InputError, match=message):
        default_config("decap", **options)


def test_further_settings_are_those_of_a_captioner_beside_its_method():
    assert further_settings(["lr=5e-4", "width=384"]) == {"lr": 5e-4, "width": 384}
    for name in ("method", "out", "rate"):
        with pytest.raises(InputError, match=f"--set {name}: unknown setting; there are batch_size, "):
            further_settings([f"{name}=1"])

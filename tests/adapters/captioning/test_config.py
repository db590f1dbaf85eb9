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
        ({"layers": 0}, "must be 1 or more"),
        ({"lr": float("inf")}, "lr inf: must be a finite number"),
        ({"variance": float("nan")}, "variance"),
        ({"dropout": 1.5}, "dropout 1.5: must lie in 0..1"),
        ({"clip_norm": 0}, "clip_norm 0.0: must be above 0"),
        ({"weight_decay": -1}, "weight_decay -1.0: must not be negative"),
        ({"target_cosine": 2}, "target_cosine 2.0"),
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

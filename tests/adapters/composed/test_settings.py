"""Settings of composers and of their fitting: each wrong one is one line that names it."""

import pytest

from e2.adapters.composed.fitting import FitConfig
from e2.adapters.composed.methods import start_search
from e2.adapters.composed.oti import OtiConfig
from e2.adapters.composed.settings import composer_options, fit_config
from e2.adapters.composed.slots import SlotFilling
from e2.benchmarks.composed.methods import Methods
from e2.errors import InputError

SERVER = ("rewriter=http://localhost:9/v1", "model=m")
WRONG = [
    ("slerp", ["text_weight=heavy"], "text_weight='heavy' is of the wrong kind; it takes a finite number"),
    ("slerp", ["text_weight=null"], "text_weight=None is of the wrong kind"),
    ("slerp", ["text_weight=[1, 2]"], "text_weight=.* is of the wrong kind"),
    ("slerp", ["text_weight=.nan"], "text_weight=nan is of the wrong kind"),
    ("slerp", ["text_weight=-1"], "must lie in 0..1"),
    ("slerp", ["preset=[a]"], r"preset=\['a'\] is of the wrong kind; it takes a text or null"),
    ("sum", ["preset={a: b}"], "preset=.* is of the wrong kind"),
    ("sum", ["text_weight=0.5"], "sum has no option 'text_weight'; it has preset"),
    ("sum", ["encoder=x"], "sum has no option 'encoder'"),
    ("sum", ["name=x"], "sum has no option 'name'"),
    ("sum", ["path=x"], "name the folder of a fitted composer by --composer"),
    ("slots", ["vocabulary=5"], "vocabulary=5 is of the wrong kind; name a file or a folder"),
    ("slots", ["vocabulary=[red]"], "vocabulary=.* is of the wrong kind"),
    ("slots", ["vocabulary={colour: red}"], "vocabulary=.* is of the wrong kind"),
    ("slots", ["vocabulary={colour: [red, 5]}"], "vocabulary=.* is of the wrong kind"),
    ("slots", ["vocabulary=/nowhere.json"], "/nowhere.json is not a vocabulary"),
    ("slots", ["vocabulary=/nowhere"], "/nowhere"),
    ("slots", ["vocabulary={colour: [red]}", "thresholds=high"], "thresholds='high' is of the wrong kind"),
    ("slots", ["vocabulary={colour: [red]}", "thresholds={colour: high}"], "thresholds=.* is of the wrong kind"),
    ("slots", ["vocabulary={colour: [red]}", "text_weight=.inf"], "text_weight=inf is of the wrong kind"),
    ("searle-oti", ["phrases=5"], "phrases=5 is of the wrong kind"),
    ("searle-oti", ["phrases=/nowhere"], "no concept phrases in /nowhere"),
    ("searle-oti", ["phrases={dress: [a dress]}", "oti=5"], "oti=5 is of the wrong kind"),
    ("searle-oti", ["phrases={dress: [a dress]}", "oti={steps: many}"], "oti=.* is of the wrong kind"),
    ("searle-oti", ["phrases={dress: [a dress]}", "oti={lr: -1}"], "oti=.* is of the wrong kind"),
    ("cirevl", ["captions=5"], "captions=5 is of the wrong kind"),
    ("cirevl", ["captions=null"], "captions=None is of the wrong kind"),
    ("cirevl", ["captions=/nowhere"], "no captions in /nowhere"),
    ("cirevl", ["captions=FILE", "rewriter=5"], "rewriter=5 is of the wrong kind"),
    ("cirevl", ["captions=FILE", "rewriter=wizard"], "unknown rewriter 'wizard'"),
    ("cirevl", ["captions=FILE", "text_weight=1"], "cirevl has no option 'text_weight'"),
    ("cirevl", ["captions=FILE", "timeout=5"], "rewriter 'rules' takes no timeout"),
    ("cirevl", ["captions=FILE", *SERVER, "timeout=soon"], "timeout='soon' is of the wrong kind"),
    ("cirevl", ["captions=FILE", *SERVER, "timeout=.inf"], "timeout=inf is of the wrong kind"),
    ("cirevl", ["captions=FILE", *SERVER, "tries=1.5"], "tries=1.5 is of the wrong kind; it takes a whole number"),
    ("cirevl", ["captions=FILE", *SERVER, "wait=-1"], "rewriter.wait must be at least 0, got -1"),
    ("cirevl", ["captions=FILE", *SERVER, "cache=[a]"], "cache=.* is of the wrong kind"),
    ("cirevl", ["captions=FILE", "rewriter=http://localhost:9/v1"], "it needs model=NAME"),
]


@pytest.mark.parametrize(("method", "settings", "message"), WRONG)
def test_a_wrong_setting_is_named(encoder, tmp_path, method, settings, message):
    file = tmp_path / "captions.json"
    file.write_text('{"a.jpg": "a coat"}')
    settings = [setting.replace("FILE", str(file)) for setting in settings]
    with pytest.raises(InputError, match=message) as caught:
        start_search(encoder, method, None, None, settings)
    assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match=message):  # by the same rules in an evaluation
        Methods([method], settings=[f"{method}.{setting}" for setting in settings]).composers(encoder)


@pytest.mark.parametrize(
    "setting",
    ["lr=.nan", "lr=.inf", "lr=-1", "lr=fast", "steps=1.5", "steps=true", "weight_decay=-1", "weight_decay=null", "hidden=0"]
    + ["hidden=wide", "dropout=2", "seed=-1", "seed=x", "input=both", "input=5", "held_out=[1]", "patience=0", "rate=1"],
)
def test_a_wrong_setting_of_the_fit_is_named(setting):
    with pytest.raises(InputError, match=setting.partition("=")[0]):
        fit_config([setting])


def test_right_settings_come_through():
    assert fit_config(["lr=1e-4", "steps=20.0", "hidden=null"], seed=3) == FitConfig(lr=1e-4, steps=20, seed=3)
    found = composer_options(SlotFilling, {"text_weight": 1, "thresholds": {"colour": 1}, "preset": None})
    assert found == {"text_weight": 1.0, "thresholds": {"colour": 1.0}, "preset": None}
    with pytest.raises(InputError, match="OtiConfig.lr must"):
        OtiConfig(lr=float("nan"))


def test_a_fitted_composer_takes_no_settings_of_its_fit(regional, products, tmp_path):
    from e2.adapters.composed.methods import fit_composer, load_composer

    fit_composer("slots", regional, products, tmp_path / "slots")
    for options, message in (({"text_weight": "x"}, "wrong kind"), ({"mapping": 1}, "no option 'mapping'")):
        with pytest.raises(InputError, match=message):
            load_composer(tmp_path / "slots", regional, **options)
    path = tmp_path / "words.json"
    path.write_text('{"colour": ["red", "blue"]}')
    assert load_composer(tmp_path / "slots", regional, vocabulary=str(path)).info["entities"] == ["colour"]

"""Linear probes against gradient descent, and the runner with an encoder whose answers are known."""

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from e2.benchmarks.probe import metrics as probe
from e2.benchmarks.probe.evaluate import Splits, evaluate_probe
from e2.benchmarks.probe.metrics import Whitening, fit_probe
from e2.data.product import Product
from e2.errors import InputError
from tests.benchmarks.stubs import COLOURS, Shelf, colour_encoder, png
from tests.command import run_command


def clouds(count: int, seed: int, classes: int = 5, width: int = 6) -> tuple[np.ndarray, np.ndarray]:
    """Overlapping Gaussian clouds of very different widths, so that neither whitening nor the penalty is idle."""
    centres = np.random.default_rng(0).normal(size=(classes, width))
    rng = np.random.default_rng(seed)
    targets = np.concatenate([np.arange(classes), rng.integers(classes, size=count - classes)])
    noise = rng.normal(size=(count, width)) * np.logspace(-2, 0.5, width)
    return (centres[targets] + noise).astype(np.float32), targets


@pytest.mark.parametrize("decay", [1e-1, 1e-3])
def test_the_fit_minimises_the_penalised_cross_entropy(decay, monkeypatch):
    """Against plain gradient descent: the decay is that of the mean loss, and the biases have none."""
    monkeypatch.setattr(probe, "DECAYS", (decay,))
    (train, targets), (val, _) = clouds(400, seed=1), clouds(100, seed=2)
    found = fit_probe(train, targets, val, np.zeros(100))
    inputs = torch.from_numpy(np.column_stack([found.whitening(train), np.ones(400)]).astype(np.float32))
    weights = torch.zeros(7, 5, requires_grad=True)
    optimizer = torch.optim.LBFGS([weights], max_iter=500, line_search_fn="strong_wolfe", tolerance_grad=1e-8)

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(inputs @ weights, torch.from_numpy(targets))
        loss = loss + decay / 2 * weights[:-1].square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    expected = (inputs @ weights).softmax(dim=1).detach().numpy()
    np.testing.assert_allclose(found.model.predict_proba(found.whitening(train)), expected, atol=5e-3)


def test_whitened_embeddings_are_uncorrelated_and_a_constant_direction_does_no_harm():
    features = np.column_stack([clouds(500, seed=4)[0], np.ones(500, dtype=np.float32)])
    covariance = np.cov(Whitening.of(features)(features).T, bias=True)
    np.testing.assert_allclose(covariance, np.diag(covariance.diagonal() > 0.5), atol=1e-3)
    assert (covariance.diagonal() > 0.5).sum() == 6


def test_a_probe_does_not_care_how_an_encoder_writes_what_it_knows():
    (train, targets), (val, val_targets) = clouds(400, seed=5), clouds(300, seed=6)
    mixing = np.random.default_rng(7).normal(size=(6, 6)).astype(np.float32) + 2 * np.eye(6, dtype=np.float32)
    plain = fit_probe(train, targets, val, val_targets)
    mixed = fit_probe(train @ mixing, targets, val @ mixing, val_targets)
    assert (plain.predict(val) == mixed.predict(val @ mixing)).mean() > 0.99


def test_the_penalty_is_chosen_on_val_and_classes_unseen_in_train_are_wrong(monkeypatch):
    (train, targets), (val, val_targets) = clouds(60, seed=8), clouds(400, seed=9)
    known = np.where(val_targets == 4, -1, val_targets)
    found = fit_probe(train, targets, val, known)
    assert (found.predict(val) == known).mean() == pytest.approx(found.val_accuracy)
    for decay in (1.0, 1e-6):
        monkeypatch.setattr(probe, "DECAYS", (decay,))
        assert fit_probe(train, targets, val, known).val_accuracy <= found.val_accuracy + 1e-9


def product(colour: str, number: int, **tags: str) -> Product:
    return Product(f"{colour}-{number}", (png(colour),), (f"a {colour} shirt",), {"colour": colour, **tags})


def shelf(split: str, products: list[Product]) -> Shelf:
    return Shelf(products, split=split, tags=("colour", "season"))


@pytest.fixture
def splits() -> Splits:
    """Photos tell the colour; the season follows from nothing, three in four are summer."""
    seen = list(COLOURS)[:4]  # black is new in test
    train = [product(colour, n, season="winter" if n == 0 else "summer") for colour in seen for n in range(4)]
    val = [product(colour, 10, season="summer") for colour in seen]
    test = [product(colour, 20, season="summer") for colour in COLOURS] + [product("red", 21)]
    return Splits(shelf("train", train), shelf("val", val), shelf("test", test))


@pytest.mark.filterwarnings("error")
def test_more_classes_than_half_of_the_products_are_no_warning():
    train, targets = clouds(30, seed=8, classes=20)
    assert fit_probe(train, targets, train, targets).val_accuracy > 0


def test_accuracy_by_hand_with_unseen_values_and_missing_tags(splits, tmp_path):
    (record,) = evaluate_probe([colour_encoder()], splits, out=tmp_path, resamples=100).results
    metrics = record["metrics"]
    assert metrics["colour_accuracy"] == pytest.approx(100 * 5 / 6)  # black cannot be told
    assert metrics["colour_balanced_accuracy"] == pytest.approx(80)  # two reds count once
    assert metrics["colour_majority"] == pytest.approx(100 / 6 * 1, abs=100 / 6 + 1e-6)
    assert metrics["season_accuracy"] == metrics["season_majority"] == 100  # the product without a season does not count
    assert metrics["mean_accuracy"] == pytest.approx((100 * 5 / 6 + 100) / 2)
    facts = record["entities"]["colour"]
    assert (facts["values"], facts["unseen_values"], facts["products_of_unseen_values"]) == (4, 1, 1)
    assert record["entities"]["season"]["tested_products"] == 5
    low, high = record["ci95"]["colour_accuracy"]
    assert low < 100 * 5 / 6 < high
    assert json.loads((tmp_path / "metrics.json").read_text()) == json.loads(json.dumps(record))
    assert (tmp_path / "probe.png").stat().st_size > 5000


def test_of_several_values_any_is_right_and_a_product_counts_once():
    """Photos tell the colour: red and blue ones are warm as well as bright."""
    styles = {"red": "warm | bright", "blue": "bright | warm", "green": "cool"}

    def split(name: str, *more: Product) -> Shelf:
        own = [product(colour, n, style=style) for colour, style in styles.items() for n in range(4)]
        return Shelf([*own, *more], split=name, tags=("style",))

    odd = product("red", 9, style="warm | odd"), product("green", 9, style="Bright")
    splits = Splits(split("train"), split("val"), split("test", *odd))
    (record,) = evaluate_probe([colour_encoder()], splits, resamples=20).results
    assert record["metrics"]["style_majority"] == pytest.approx(100 * 10 / 14, abs=100 / 14 + 0.01)  # warm or bright
    assert record["metrics"]["style_accuracy"] >= 100 * 12 / 14  # green is not bright
    facts = record["entities"]["style"]
    assert (facts["values"], facts["fitted_products"], facts["tested_products"]) == (3, 12, 14)
    assert (facts["unseen_values"], facts["products_of_unseen_values"]) == (1, 1)


def test_several_classes_share_a_row_of_the_plain_fit():
    (train, targets), (val, val_targets) = clouds(300, seed=1), clouds(200, seed=2)
    rows, val_rows = np.repeat(np.arange(300), 2), np.arange(200)
    plain = fit_probe(train, targets, val, val_targets)
    doubled = fit_probe(train[rows], targets[rows], val, val_targets, products=(rows, val_rows))
    assert doubled.decay == plain.decay and (doubled.predict(val) == plain.predict(val)).all()


def test_spellings_of_one_value_are_one_class(splits):
    """Otherwise a probe is wrong where it answers red for Red."""

    def spelled(split: Shelf) -> Shelf:
        forms = (str.upper, str.title, str.lower)
        tags = [{"colour": forms[i % 3](product.tags["colour"])} for i, product in enumerate(split.products)]
        products = [replace(product, tags=own) for product, own in zip(split.products, tags, strict=True)]
        return Shelf(products, split=split.split, tags=("colour",))

    plain = Splits(*(Shelf(split.products, split=split.split, tags=("colour",)) for split in splits))
    others = Splits(*map(spelled, splits))
    (one,), (other,) = (evaluate_probe([colour_encoder()], these, resamples=20).results for these in (plain, others))
    for key in ("metrics", "entities", "probes"):
        assert other[key] == one[key]


def test_two_encoders_are_compared_on_the_same_products(splits, tmp_path):
    encoders = [colour_encoder("runs/confused", confused=True), colour_encoder("runs/good")]
    more_reds = shelf("train", [*splits.fit.products, product("red", 5)])  # else red and green tie, and rounding decides
    comparison = evaluate_probe(encoders, splits._replace(fit=more_reds), out=tmp_path, resamples=300)
    (difference,) = comparison.differences
    assert difference["metrics"]["colour_accuracy"] == pytest.approx(100 / 6)  # green looks red, which most such products are
    assert "colour_majority" not in difference["metrics"]
    low, high = difference["ci95"]["colour_accuracy"]
    assert low <= 100 / 6 <= high
    assert (tmp_path / "comparison.json").is_file() and (tmp_path / "2_good" / "metrics.json").is_file()


@pytest.mark.filterwarnings("error")
def test_a_resample_without_the_products_of_a_tag_says_nothing_of_it():
    from e2.benchmarks.probe.evaluate import _named

    found = _named(np.array([[np.nan, np.nan, np.nan], [0.5, 0.25, np.nan], [0.5, 0.0, 1.0]]), {"x": slice(0, 3)}, ["x"])
    np.testing.assert_array_equal(found["x_balanced_accuracy"], [np.nan, 0.25, 0.5])


def test_balanced_accuracy_is_scikit_learns():
    metrics = pytest.importorskip("sklearn.metrics")
    from e2.benchmarks.probe.evaluate import Labels, Probed, _scores

    rng = np.random.default_rng(0)
    true, guess = rng.integers(0, 4, 200), rng.integers(0, 4, 200)
    labels = Labels(list("abcd"), (np.arange(200),) * 3, (true,) * 3, true.astype(str))
    found, samples = _scores({"x": Probed(labels, true == guess, {})}, ["x"], 50, 0)
    assert found["x_balanced_accuracy"] == pytest.approx(100 * metrics.balanced_accuracy_score(true, guess))
    assert found["x_accuracy"] == pytest.approx(100 * metrics.accuracy_score(true, guess))
    assert samples["x_accuracy"].shape == (50,)


def test_the_study_measures_the_same(splits, tmp_path):
    from e2.benchmarks.studies.intervals import value
    from e2.benchmarks.studies.probe import STUDY, accuracies, draw

    context = SimpleNamespace(open=lambda split: getattr(splits, {"train": "fit"}.get(split, split)))
    measured = accuracies(colour_encoder(), splits.test, context)
    (record,) = evaluate_probe([colour_encoder()], splits, resamples=20).results
    for name, items in measured.items.items():
        assert measured.metrics[name] == pytest.approx(record["metrics"][name]) == pytest.approx(value(items))
    ci95 = {name: [0.0, 100.0] for name in measured.items}
    found = {"metrics": {"clip": measured.metrics}, "ci95": {"clip": ci95}, "dataset": "shelf", "split": "test", "n": 6}
    draw({**found, "columns": ["mean_accuracy", "colour_accuracy", "season_accuracy"]}, tmp_path / "figure")
    assert (tmp_path / "figure.svg").is_file() and STUDY.headline in measured.metrics


def test_a_tag_that_a_split_lacks_is_named_and_the_others_are_probed(splits, capsys):
    bare = [
        replace(one, tags={name: tag for name, tag in one.tags.items() if name != "season"}) for one in splits.val.products
    ]
    without = splits._replace(val=replace(splits.val, products=bare))
    (record,) = evaluate_probe([colour_encoder()], without, resamples=20).results
    assert "colour_accuracy" in record["metrics"] and not any("season" in name for name in record["metrics"])
    assert "no product has the tag season" in record["not_probed"]["season"]
    assert "season is not probed: " in capsys.readouterr().err


def test_mistakes_get_one_line(splits):
    alone = [product("red", n) for n in range(3)]
    with pytest.raises(InputError, match="colour has one value only"):
        evaluate_probe([colour_encoder()], Splits(Shelf(alone, tags=("colour",)), splits.val, splits.test))
    with pytest.raises(InputError, match="different models"):
        evaluate_probe([], splits)


def test_the_command_needs_a_third_split(shop):
    answer = run_command("evaluate", "probe", "--model", "open_clip:e2-nano", "--data", shop, "--split", "train")
    assert answer.status == 2 and "measured on another split" in answer.line

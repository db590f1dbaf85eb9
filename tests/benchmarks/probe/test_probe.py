"""Linear probes against scikit-learn, and the runner with an encoder whose answers are known."""

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from e2.benchmarks.probe import metrics as probe
from e2.benchmarks.probe.evaluate import Splits, evaluate_probe
from e2.benchmarks.probe.metrics import Whitening, fit_logistic, fit_probe, objective
from e2.data.product import Product
from e2.errors import InputError
from tests.benchmarks.stubs import COLOURS, Shelf, colour_encoder, png
from tests.command import run_command


def clouds(count: int, seed: int, classes: int = 5, width: int = 6) -> tuple[torch.Tensor, torch.Tensor]:
    """Overlapping Gaussian clouds of very different widths, so that neither whitening nor the penalty is idle."""
    centres = torch.randn(classes, width, generator=torch.Generator().manual_seed(0))
    generator = torch.Generator().manual_seed(seed)
    targets = torch.randint(classes, (count,), generator=generator)
    targets[:classes] = torch.arange(classes)
    noise = torch.randn(count, width, generator=generator) * torch.logspace(-2, 0.5, width)
    return centres[targets] + noise, targets


@pytest.mark.parametrize("decay", [1e-1, 1e-3])
def test_the_fit_is_scikit_learns(decay):
    linear_model = pytest.importorskip("sklearn.linear_model")
    features, targets = clouds(400, seed=1)
    inputs = Whitening.of(features)(features)
    ours = fit_logistic(inputs, targets, decay, start=torch.zeros(7, 5))
    theirs = linear_model.LogisticRegression(C=1 / (decay * len(inputs)), tol=1e-8, max_iter=2000)
    theirs.fit(inputs[:, :-1].double().numpy(), targets.numpy())
    torch.testing.assert_close(ours[:-1].T, torch.from_numpy(theirs.coef_).float(), atol=5e-3, rtol=5e-3)
    p_ours = (inputs @ ours).softmax(dim=1)
    p_theirs = torch.from_numpy(theirs.predict_proba(inputs[:, :-1].double().numpy())).float()
    torch.testing.assert_close(p_ours, p_theirs, atol=2e-3, rtol=0)


def test_value_and_gradient_in_blocks_are_autograds(monkeypatch):
    monkeypatch.setattr(probe, "ROWS", 7)
    features, targets = clouds(40, seed=2)
    inputs = Whitening.of(features)(features)
    weights = torch.randn(7, 5, generator=torch.Generator().manual_seed(3), requires_grad=True)
    loss = torch.nn.functional.cross_entropy(inputs @ weights, targets) + 0.05 * weights[:-1].square().sum()
    loss.backward()
    value, gradient = objective(inputs, targets, 0.1, weights.detach())
    torch.testing.assert_close(value, loss.detach())
    torch.testing.assert_close(gradient, weights.grad)


def test_whitened_embeddings_are_uncorrelated_and_a_constant_direction_does_no_harm():
    features = torch.cat([clouds(500, seed=4)[0], torch.ones(500, 1)], dim=1)
    white = Whitening.of(features)(features)
    torch.testing.assert_close(white[:, -1], torch.ones(500))
    covariance = white[:, :-1].T.cov(correction=0)
    expected = torch.eye(7).where(covariance.diagonal().diag() > 0.5, torch.tensor(0.0))
    torch.testing.assert_close(covariance, expected, atol=1e-3, rtol=0)
    assert (covariance.diagonal() > 0.5).sum() == 6


def test_a_probe_does_not_care_how_an_encoder_writes_what_it_knows():
    (train, targets), (val, val_targets) = clouds(400, seed=5), clouds(300, seed=6)
    mixing = torch.randn(6, 6, generator=torch.Generator().manual_seed(7)) + 2 * torch.eye(6)
    plain = fit_probe(train, targets, val, val_targets)
    mixed = fit_probe(train @ mixing, targets, val @ mixing, val_targets)
    assert (plain.predict(val) == mixed.predict(val @ mixing)).float().mean() > 0.99


def test_the_penalty_is_chosen_on_val_and_classes_unseen_in_train_are_wrong():
    (train, targets), (val, val_targets) = clouds(60, seed=8), clouds(400, seed=9)
    found = fit_probe(train, targets, val, val_targets.where(val_targets != 4, -1))
    right = found.predict(val) == val_targets.where(val_targets != 4, -1)
    assert right.double().mean().item() == pytest.approx(found.val_accuracy)
    inputs, val_inputs = found.whitening(train), found.whitening(val)
    for decay in (1.0, 1e-6):
        weights = fit_logistic(inputs, targets, decay, start=torch.zeros(7, 5))
        accuracy = ((val_inputs @ weights).argmax(dim=1) == val_targets.where(val_targets != 4, -1)).double().mean()
        assert accuracy <= found.val_accuracy + 1e-9


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


def test_spellings_of_one_value_are_one_class(splits):
    """Otherwise a probe is wrong where it answers red for Red."""

    def spelled(split: Shelf) -> Shelf:
        forms = (str.upper, str.title, str.lower)
        tags = [{"colour": forms[i % 3](product.tags["colour"])} for i, product in enumerate(split.products)]
        products = [replace(product, tags=own) for product, own in zip(split.products, tags, strict=True)]
        return Shelf(products, split=split.split, tags=("colour",))

    plain = Splits(*(Shelf(split.products, split=split.split, tags=("colour",)) for split in splits.all()))
    others = Splits(*map(spelled, splits.all()))
    (one,), (other,) = (evaluate_probe([colour_encoder()], these, resamples=20).results for these in (plain, others))
    for key in ("metrics", "entities", "probes"):
        assert other[key] == one[key]


def test_two_encoders_are_compared_on_the_same_products(splits, tmp_path):
    encoders = [colour_encoder("runs/confused", confused=True), colour_encoder("runs/good")]
    more_reds = shelf("train", [*splits.fit.products, product("red", 5)])  # else red and green tie, and rounding decides
    comparison = evaluate_probe(encoders, replace(splits, fit=more_reds), out=tmp_path, resamples=300)
    (difference,) = comparison.differences
    assert difference["metrics"]["colour_accuracy"] == pytest.approx(100 / 6)  # green looks red, which most such products are
    assert "colour_majority" not in difference["metrics"]
    low, high = difference["ci95"]["colour_accuracy"]
    assert low <= 100 / 6 <= high
    assert (tmp_path / "comparison.json").is_file() and (tmp_path / "2_good" / "metrics.json").is_file()


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


def test_mistakes_get_one_line(splits):
    alone = [product("red", n) for n in range(3)]
    with pytest.raises(InputError, match="colour has one value only"):
        evaluate_probe([colour_encoder()], Splits(Shelf(alone, tags=("colour",)), splits.val, splits.test))
    with pytest.raises(InputError, match="different models"):
        evaluate_probe([], splits)


def test_the_command_needs_a_third_split(shop):
    answer = run_command("evaluate", "probe", "--model", "open_clip:e2-nano", "--data", shop, "--split", "train")
    assert answer.status == 2 and "measured on another split" in answer.line

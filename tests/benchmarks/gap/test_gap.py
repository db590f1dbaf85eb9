"""The gap's figures against naive versions, narrowing, and the runner on made-up encoders."""

import itertools
import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from e2.benchmarks.core.bootstrap import Measure, resampled_means
from e2.benchmarks.gap import metrics as gap
from e2.benchmarks.gap.evaluate import HEADLINE, evaluate_gap, results_table, sweep_table
from e2.benchmarks.gap.metrics import chance_gap, figures, moved, narrowed, offset, plane, potentials
from e2.benchmarks.gap.sweep import AMOUNTS, caption_sweep, retrieval_sweep, square_answers
from e2.data.product import Product
from e2.errors import InputError
from tests.benchmarks.stubs import COLOURS, Shelf, colour_encoder, png
from tests.command import run_command


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def clouds(count: int = 60, width: int = 8, apart: float = 1.0, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Pairs that belong together, their kinds apart along the first axis."""
    rng = np.random.default_rng(seed)
    shared, step = rng.normal(size=(count, width)), np.eye(width)[0] * apart
    noisy = [shared + 0.5 * rng.normal(size=shared.shape) for _ in range(2)]
    return unit(noisy[0] + step), unit(noisy[1] - step)


def means(images: np.ndarray, texts: np.ndarray) -> dict[str, float]:
    return {name: values.mean() for name, values in figures(images, texts).items()}


def naive_uniformity(features: np.ndarray) -> float:
    pairs = itertools.combinations(features.astype(float), 2)
    return float(np.log(np.mean([np.exp(-2 * np.sum((a - b) ** 2)) for a, b in pairs])))


def test_figures_are_the_naive_ones(monkeypatch):
    monkeypatch.setattr(gap, "BLOCK", 7)
    images, texts = clouds()
    found = means(images, texts)
    between = np.linalg.norm(images.mean(axis=0) - texts.mean(axis=0))
    squares = [np.sum((a - b) ** 2) for a, b in itertools.product(images.astype(float), texts.astype(float))]
    assert found["gap"] == pytest.approx(between, abs=1e-6)
    assert found["relative_gap"] == pytest.approx(between / np.sqrt(np.mean(squares)), abs=1e-6)
    assert found["alignment"] == pytest.approx(np.mean(np.sum((images - texts) ** 2, axis=1)), abs=1e-6)
    assert found["uniformity"] == pytest.approx(naive_uniformity(images), abs=1e-6)
    assert found["uniformity_text"] == pytest.approx(naive_uniformity(texts), abs=1e-6)


def test_potentials_against_scikit_learn():
    pairwise = pytest.importorskip("sklearn.metrics.pairwise")
    images, _ = clouds(40)
    kernel = pairwise.rbf_kernel(images.astype(float), gamma=2.0)
    np.testing.assert_allclose(potentials(images), (kernel.sum(axis=1) - 1) / 39, atol=1e-6)


def test_extremes():
    points = np.eye(4, dtype=np.float32)
    two_points = means(points[[0, 0, 0]], points[[1, 1, 1]])
    assert two_points["gap"] == pytest.approx(np.sqrt(2)) and two_points["relative_gap"] == pytest.approx(1)
    assert two_points["uniformity"] == pytest.approx(0) and two_points["alignment"] == pytest.approx(2)
    images, _ = clouds()
    one_cloud = means(images, images)
    assert one_cloud["gap"] == one_cloud["relative_gap"] == one_cloud["alignment"] == 0


def test_chance_gap_is_that_of_random_halves():
    points = unit(np.random.default_rng(1).normal(size=(400, 16)) + 0.5)
    drawn = [np.random.default_rng(i).permutation(points) for i in range(200)]
    squares = [np.sum(offset(rows[:200], rows[200:]) ** 2) for rows in drawn]
    assert chance_gap(points[:200], points[200:]) == pytest.approx(np.sqrt(np.mean(squares)), rel=0.1)


def test_resampled_values_spread_like_the_figures_of_resampled_products():
    # First-order values against the true bootstrap: every figure anew in each resample, no product paired with itself.
    images, texts = clouds(120)
    values = figures(images, texts)
    drawn = resampled_means([Measure(np.stack(list(values.values()), axis=1), np.arange(120))], resamples=400, seed=0)
    kernel = np.exp(-4 * (1 - images.astype(float) @ images.T.astype(float))) * (1 - np.eye(120))
    rng, true = np.random.default_rng(1), []
    for _ in range(400):
        rows = rng.integers(120, size=120)
        times = np.bincount(rows, minlength=120).astype(float)
        uniformity = np.log(times @ kernel @ times / (times.sum() ** 2 - (times**2).sum()))
        again = means(images[rows], texts[rows])
        true.append([again["gap"], again["relative_gap"], again["alignment"], uniformity])
    np.testing.assert_allclose(drawn[:, :4].std(axis=0), np.std(true, axis=0), rtol=0.15)
    np.testing.assert_allclose(drawn[:, :4].mean(axis=0), np.mean(true, axis=0), atol=0.02)


def test_narrowing_closes_and_widens_the_gap_and_stays_on_the_sphere():
    images, texts = clouds()
    step = offset(images, texts)
    left = []
    for amount in (-0.5, 0.0, 0.5, 1.0):
        shifted = narrowed(images, texts, step, amount)
        np.testing.assert_allclose(np.linalg.norm(shifted[0], axis=1), 1, atol=1e-6)
        left.append(np.linalg.norm(offset(*shifted)))
    assert left == sorted(left, reverse=True) and left[-1] < 0.2 * left[1]
    np.testing.assert_allclose(narrowed(images, texts, step, 0.0)[0], images, atol=1e-6)
    np.testing.assert_allclose(moved(images, np.zeros(8)), images, atol=1e-6)


def test_the_plane_is_scikit_learns_pca():
    decomposition = pytest.importorskip("sklearn.decomposition")
    images, texts = clouds()
    flat = plane(images, texts)
    theirs = decomposition.PCA(2).fit(np.concatenate([images, texts]).astype(float))
    expected = theirs.transform(np.concatenate([images, texts]).astype(float))
    np.testing.assert_allclose(np.abs(np.concatenate([flat.images, flat.texts])), np.abs(expected), atol=1e-5)
    np.testing.assert_allclose(flat.shares, theirs.explained_variance_ratio_, atol=1e-6)


def test_the_sweep_is_plain_retrieval_at_zero_and_its_offset_is_the_tuning_splits():
    pairs, tuning = clouds(seed=1, apart=0.3), clouds(seed=2, apart=0.3)
    rows, samples = retrieval_sweep(pairs, tuning, seed=0, resamples=50)
    plain = rows[AMOUNTS.index(0.0)]
    assert plain["metrics"] == square_answers(*pairs).metrics()
    assert (plain["gain"], plain["gain_ci95"]) == (0, [0, 0]) and samples.shape == (len(AMOUNTS), 50)
    closed = rows[AMOUNTS.index(1.0)]
    by_hand = narrowed(*pairs, offset(*tuning), 1.0)
    assert closed["metrics"] == square_answers(*by_hand).metrics()
    assert closed["gap"] == pytest.approx(np.linalg.norm(offset(*by_hand)), abs=1e-6)


class Echo:
    """A captioner that tells which of two words the photo is nearest to."""

    def read_tags(self, photos):
        return [{} for _ in photos]

    def caption_features(self, photos, *, tags):
        return ["a plain red shirt" if photo[0] > 0 else "a plain blue shirt" for photo in photos]


def test_captions_follow_the_photos_towards_the_texts():
    photos = unit(np.array([[0.3, 1.0], [0.3, 1.0], [0.9, 1.0], [0.9, 1.0]]))
    references = [["a plain red shirt"]] * 2 + [["a plain blue shirt"]] * 2
    rows = caption_sweep(Echo(), photos, np.array([0.5, 0.0]), references, seed=0, resamples=50)
    cider = {row["amount"]: row["metrics"]["CIDEr"] for row in rows}
    assert cider[0.0] == cider[0.25] > cider[0.75] and rows[AMOUNTS.index(0.0)]["gain"] == 0
    assert rows[-1]["gain_ci95"][0] <= rows[-1]["gain"] <= rows[-1]["gain_ci95"][1]


def product(colour: str, number: int) -> Product:
    tags = {"colour": colour.upper() if number else colour} | ({"season": "Summer"} if number else {})
    return Product(f"{colour}-{number}", (png(colour),), (f"a {colour} shirt",), tags)


@pytest.fixture
def shelves() -> tuple[Shelf, Shelf]:
    products = [product(colour, number) for colour in COLOURS for number in range(2)]
    return Shelf(products, tags=("colour", "season")), Shelf(products, split="val", tags=("colour", "season"))


def test_the_record_and_the_differences(shelves, tmp_path):
    encoders = [colour_encoder("runs/confused", confused=True), colour_encoder("runs/good")]
    encoders[0].info["weights_sha256"] = "1" * 64
    comparison = evaluate_gap(encoders, *shelves, out=tmp_path, resamples=50)
    good = comparison.results[1]
    assert good["metrics"]["gap"] == pytest.approx(0, abs=1e-6) and good["metrics"]["alignment"] == pytest.approx(0)
    assert good["metrics"]["colour_gap"] == pytest.approx(0, abs=1e-6) and good["metrics"]["season_alignment"] > 1
    assert comparison.results[0]["metrics"]["alignment"] == pytest.approx(2 / 5)  # green is at sqrt(2) of its text
    assert comparison.differences[0]["metrics"]["alignment"] == pytest.approx(-2 / 5)
    assert good["narrowing"]["offset_from"] == {"split": "val", "n": 10} and good["narrowing"]["best_amount"] == 0
    assert json.loads((tmp_path / "2_good" / "metrics.json").read_text()) == json.loads(json.dumps(good))
    assert (tmp_path / "gap.png").stat().st_size > 5000
    assert results_table(comparison).row_count == len(HEADLINE) + 2 and sweep_table(comparison).row_count == len(AMOUNTS)


def test_the_text_of_several_values_is_their_mean(shelves):
    mixed = [replace(product, tags={"colour": "red | BLUE"}) for product in shelves[0].products]
    found = evaluate_gap([colour_encoder()], Shelf(mixed, tags=("colour",)), shelves[1], resamples=10).results[0]["metrics"]
    both = unit(np.eye(5)[[0]] + np.eye(5)[[2]])
    distances = [np.sum((photo - both) ** 2) for photo in np.repeat(np.eye(5), 2, axis=0)]
    assert found["colour_alignment"] == pytest.approx(np.mean(distances), abs=1e-6)


def test_the_study_measures_the_same(shelves, tmp_path):
    from e2.benchmarks.studies.gap import draw, gap_and_retrieval
    from e2.benchmarks.studies.intervals import value

    measured = gap_and_retrieval(colour_encoder(confused=True), shelves[0], SimpleNamespace(text="caption"))
    (record,) = evaluate_gap([colour_encoder(confused=True)], *shelves, resamples=20).results
    for name in ("gap", "relative_gap", "alignment", "uniformity", "SumR"):
        assert measured.metrics[name] == pytest.approx(record["metrics"][name])
    for name, items in measured.items.items():
        assert value(items) == pytest.approx(measured.metrics[name])
    ci95 = {name: [0.0, 1.0] for name in measured.items}
    settings = {"clip": {"method": "clip"}, "clip-rising": {"method": "clip", "loss.temperature": [0.01, 0.05]}}
    parts = {label: (measured.metrics, ci95, {"settings": chosen}) for label, chosen in settings.items()}
    found = {name: {label: part[i] for label, part in parts.items()} for i, name in enumerate(("metrics", "ci95", "variants"))}
    draw({**found, "dataset": "shelf", "split": "test"}, tmp_path / "figure")
    assert (tmp_path / "figure.svg").is_file()


def test_a_strange_captioner_and_a_single_split_get_one_line(shelves, tmp_path, shop):
    captioner = type("Captioner", (), {"encoder": colour_encoder("runs/other"), "info": {"path": "runs/decap"}})()
    captioner.encoder.info["weights_sha256"] = "2" * 64
    with pytest.raises(InputError, match="runs/decap was fitted to runs/other"):
        evaluate_gap([colour_encoder()], *shelves, captioners=[captioner])
    answer = run_command("evaluate", "gap", "--model", "open_clip:e2-nano", "--data", shop / "val.parquet", "--split", "val")
    assert answer.status == 2 and "the offset that narrows the gap is found on val or train" in answer.line

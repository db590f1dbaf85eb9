"""The runner with encoders whose recalls are known by hand."""

import io
import json
import math

import pytest
from rich.console import Console

from e2.benchmarks.retrieval.evaluate import evaluate_retrieval, results_table
from e2.data.product import Product
from e2.errors import InputError
from tests.benchmarks.stubs import COLOURS, Shelf, colour_encoder, png
from tests.command import names_in


def product(colour: str, photos: tuple[str, ...] = (), captions: tuple[str, ...] = (), number: int = 0) -> Product:
    images = tuple(map(png, photos or (colour,)))
    return Product(f"{colour}-{number}", images, captions or (f"a {colour} shirt",), {"sub_category": "shirt"})


@pytest.fixture
def shelf() -> Shelf:
    return Shelf([product(colour) for colour in COLOURS])


def test_a_perfect_encoder_scores_600_and_the_record_follows_the_design(shelf, tmp_path):
    comparison = evaluate_retrieval([colour_encoder()], shelf, text="caption", seed=5, out=tmp_path, resamples=50)
    record = json.loads((tmp_path / "metrics.json").read_text())
    assert record == json.loads(json.dumps(comparison.results[0]))
    keys = ["benchmark", "protocol", "dataset", "split", "text", "n", "seed", "model", "metrics", "ci95", "seconds", "version"]
    assert list(record)[: len(keys)] == keys
    assert (record["benchmark"], record["protocol"], record["dataset"], record["n"]) == ("retrieval", "full", "shelf", 5)
    assert record["metrics"]["SumR"] == 600 and record["ci95"]["SumR"] == [600, 600]
    assert record["truncated_texts"] == 0 and record["tie_bounds"] == {} and record["seed"] == 5


def test_a_confused_encoder_by_hand(shelf):
    # Green photos look red. Image -> text: 4 of 5 at R@1; green's own text ties with 3 others behind red: place 2 to 5.
    # Text -> image: "red" finds two equal photos (half a hit); "green" finds nothing: all five tie at zero, place 1 to 5.
    record = evaluate_retrieval([colour_encoder(confused=True)], shelf, resamples=50).results[0]
    assert record["metrics"]["image_to_text_R@1"] == pytest.approx(80)
    assert record["metrics"]["text_to_image_R@1"] == pytest.approx(100 * (3 + 1 / 2 + 1 / 5) / 5)
    assert record["metrics"]["image_to_text_R@5"] == pytest.approx(100)
    assert record["tie_bounds"]["text_to_image_R@1"] == pytest.approx([60, 100])
    assert record["ci95"]["image_to_text_R@1"][0] < 80 < record["ci95"]["image_to_text_R@1"][1] + 1e-9


def test_full_counts_every_photo_and_caption_and_first_photo_only_the_first():
    shelf = Shelf([product("red", photos=("red", "blue"), captions=("red", "so red")), product("blue")])
    full = evaluate_retrieval([colour_encoder()], shelf, resamples=50).results[0]
    assert (full["n"], full["n_images"], full["n_texts"]) == (2, 3, 3)
    # The red product's blue photo finds the blue text; each text finds one of its photos, but "blue" two equal ones.
    assert full["metrics"]["image_to_text_R@1"] == pytest.approx(100 * 2 / 3)
    assert full["metrics"]["text_to_image_R@1"] == pytest.approx(100 * (1 + 1 + 1 / 2) / 3)
    first = evaluate_retrieval([colour_encoder()], shelf, protocol="first-photo", resamples=50).results[0]
    assert (first["n_images"], first["n_texts"], first["metrics"]["SumR"]) == (2, 2, 600)


def test_text_full_appends_the_tags_and_long_texts_are_counted():
    items = [Product(colour, (png(colour),), ("shirt " * 100,), {"colour": colour}) for colour in COLOURS]
    items[0] = Product("red", (png("red"),), ("short",), {"colour": "red"})
    record = evaluate_retrieval([colour_encoder()], Shelf(items), text="full", resamples=50).results[0]
    assert record["truncated_texts"] == 4  # their tags fell off: only red's text still says its colour
    assert record["text"] == "full"
    caption = evaluate_retrieval([colour_encoder()], Shelf(items), text="caption", resamples=50).results[0]
    assert caption["identical_texts"] == 3
    spelt = [Product(text, (png("red"),), (text,), {}) for text in ("a red tee", "A Red  tee", "a blue tee")]
    assert evaluate_retrieval([colour_encoder()], Shelf(spelt), resamples=50).results[0]["identical_texts"] == 1


def test_several_models_get_paired_differences_a_file_each_and_one_table(shelf, tmp_path):
    encoders = [colour_encoder("runs/bad[bold]", confused=True), colour_encoder("runs/good")]
    comparison = evaluate_retrieval(encoders, shelf, out=tmp_path, resamples=200)
    (difference,) = comparison.differences
    assert (difference["first"], difference["second"]) == ("runs/bad[bold]", "runs/good")
    assert difference["metrics"]["image_to_text_R@1"] == pytest.approx(20)
    low, high = difference["ci95"]["image_to_text_R@1"]
    assert 0 <= low <= 20 <= high
    assert names_in(tmp_path) == ["1_bad_bold_", "2_good", "comparison.json"]
    assert json.loads((tmp_path / "2_good" / "metrics.json").read_text())["metrics"]["SumR"] == 600
    console = Console(width=120, file=io.StringIO())
    console.print(results_table(comparison))
    text = console.file.getvalue()
    assert "bad[bold]" in text and "good − bad[bold]" in text.replace("\n", " ") and "600.0 (600.0 to 600.0)" in text


def sampled_shelf() -> Shelf:
    names = list(COLOURS)
    return Shelf([product(names[i % 5], number=i) for i in range(120)])


def test_sample_100_reports_spread_and_saved_lists_give_the_same_numbers(tmp_path):
    shelf = sampled_shelf()
    first = evaluate_retrieval(
        [colour_encoder(batch_size=64)], shelf, protocol="sample-100", seed=1, out=tmp_path, resamples=50
    ).results[0]
    assert first["sampling"] == {"rule": "fame-vil", "runs": 5, "queries": 120, "negatives": 100, "short_lists": 0}
    # About 23 * 100 / 119 of the negatives are of the query's colour and tie with the positive.
    assert first["metrics"]["image_to_text_R@1"] == pytest.approx(100 / 20.3, rel=0.05)
    assert 0 < first["spread"]["SumR"] < 20 and all(math.isfinite(v) for v in first["spread"].values())
    lists = tmp_path / "candidates.npz"
    again = evaluate_retrieval(
        [colour_encoder(batch_size=64)], shelf, protocol="sample-100", seed=2, candidates=lists, resamples=50
    ).results[0]
    assert again["metrics"] == first["metrics"] and again["spread"] == first["spread"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"protocol": "half"}, "choose one of full, first-photo, sample-100"),
        ({"text": "title"}, "choose caption or full"),
        ({"protocol": "sample-100"}, "the split has 4"),
    ],
)
def test_wrong_options_are_named(shelf, options, message):
    with pytest.raises(InputError, match=message):
        evaluate_retrieval([colour_encoder()], shelf, **options)


def test_wrong_inputs_are_named(shelf):
    with pytest.raises(InputError, match="several different models"):
        evaluate_retrieval([colour_encoder("a"), colour_encoder("a")], shelf)
    with pytest.raises(InputError, match="has 1 product"):
        evaluate_retrieval([colour_encoder()], Shelf(shelf.products[:1]))
    bare = Shelf([Product(colour, (png(colour),), (colour,)) for colour in COLOURS])
    with pytest.raises(InputError, match="no product has"):
        evaluate_retrieval([colour_encoder()], bare, protocol="sample-100")
    broken = Shelf([*shelf.products, Product("torn", (b"\xff\xd8torn",), ("a torn photo",))])
    with pytest.raises(InputError, match="product torn: "):
        evaluate_retrieval([colour_encoder()], broken)

"""The runner with encoders and composers whose results are known by hand."""

import io
import json

import numpy as np
import pytest
import torch
from PIL import Image
from rich.console import Console

from e2.adapters.composed import METHODS
from e2.adapters.composed.base import Composed, Composer
from e2.benchmarks.composed.data import circo, cirr
from e2.benchmarks.composed.data.circo import load_circo
from e2.benchmarks.composed.data.cirr import load_cirr
from e2.benchmarks.composed.data.fashioniq import CATEGORIES, load_fashioniq
from e2.benchmarks.composed.evaluate import evaluate_composed, write_submissions
from e2.benchmarks.composed.methods import Methods
from e2.benchmarks.composed.tables import details_table, differences_table, results_table
from e2.benchmarks.composed.tasks import draw_task
from e2.data.product import Product
from e2.errors import InputError
from tests.benchmarks.composed.data.test_benchmarks import small_circo, small_cirr, write
from tests.benchmarks.stubs import COLOURS, Shelf, colour_encoder, png
from tests.command import names_in


class Chosen:
    """Methods without anything fitted."""

    def __init__(self, *methods):
        self.methods = methods
        self.names = [method.name for method in methods]

    def check(self, encoders):
        pass

    def composers(self, encoder):
        return [method(encoder) for method in self.methods]


IMAGE, TEXT, SUM = METHODS["image"], METHODS["text"], METHODS["sum"]


class Shouting(Composer):
    """Reads the wish in capitals, and says so."""

    name = "shouting"

    def _compose(self, references, wishes):
        return Composed(self.encoder.encode_texts(wishes), [{"rewritten": wish.upper()} for wish in wishes])


class Failing(Composer):
    name = "failing"

    def _compose(self, references, wishes):
        raise InputError("the endpoint does not answer")


def colour_shelf(sizes=("Small", "Large")) -> Shelf:
    """Every colour in two sizes, which no photo and no encoder shows."""
    products = [
        Product(f"{colour}-{size}", (png(colour),), (f"a {colour} shirt",), {"colour": colour.capitalize(), "fit": size})
        for colour in COLOURS
        for size in sizes
    ]
    return Shelf(products, tags=("colour", "fit"))


@pytest.fixture(scope="module")
def colour_task():
    """Colour changes only, two wordings; 10 products, so 9 in each gallery without the reference."""
    return draw_task("attribute-swap", colour_shelf(), keep=["fit"], swap=["colour"], wordings=3, size=40)[0]


def test_known_results_by_hand_and_the_files(colour_task, tmp_path):
    # Wording 3 of 3 names the new colour only: the two photos of that colour tie, one is right. R@1 = 1/2, R@10 = 1.
    # The photo alone finds its own colour; the right one ties with 7 others behind the one photo of that colour: R@1 = 0.
    found = evaluate_composed([colour_encoder()], colour_task, Chosen(IMAGE, TEXT), out=tmp_path, resamples=50, examples=3)
    image, text = found.results
    assert (image["method"], text["method"]) == ("image", "text")
    assert image["metrics"]["R@1"] == 0 and image["metrics"]["R@10"] == 100
    wordings = text["paraphrases"]["by_wording"]
    assert wordings["R@1"][2] == pytest.approx(50) and wordings["R@10"] == [100, 100, 100]
    assert wordings["mAP@10"][2] == pytest.approx(75)  # half the time first, half the time second
    assert text["metrics"]["R@1"] == pytest.approx(np.mean(wordings["R@1"]))
    assert text["paraphrases"]["deviation"]["R@1"] == pytest.approx(np.std(wordings["R@1"], ddof=1))
    assert text["tie_bounds"]["R@1"][0] == 0 and text["tie_bounds"]["R@1"][1] > text["metrics"]["R@1"]
    # In the top 10 stand all 9 others: one right, one of the right colour in another fit, none unchanged.
    assert text["hard_negatives"]["top_10"] == {
        "right": 1,
        "right_change_wrong_garment": 1,
        "right_garment_unchanged": 0,
    }
    record = json.loads((tmp_path / "1_stub/text/metrics.json").read_text())
    assert record == json.loads(json.dumps(text))
    assert (record["benchmark"], record["protocol"], record["n"], record["gallery"]) == (
        "composed",
        "attribute-swap, find images",
        40,
        10,
    )
    assert record["reference"] == "left out of the gallery" and record["data"]["queries"]["by_change"] == {"colour": 40}
    with np.load(tmp_path / "1_stub/text/queries.npz", allow_pickle=False) as saved:
        assert saved["values"].shape == (3, 40, 5) and saved["top"].shape == (3, 40, 50)
        column = saved["measures"].tolist().index("R@1")
        assert 100 * saved["values"][:, :, column].mean() == pytest.approx(text["metrics"]["R@1"], abs=1e-4)
        assert saved["queries"][0] == colour_task.query_names[0]
    assert Image.open(tmp_path / "1_stub/text/examples.png").size[0] > 1000
    assert not (tmp_path / "1_stub/text/steps.jsonl").exists()


def test_intervals_of_known_hits_and_paired_differences(colour_task):
    found = evaluate_composed([colour_encoder()], colour_task, Chosen(IMAGE, TEXT, SUM), resamples=400)
    assert [(row["encoder"], row["first"], row["second"]) for row in found.differences] == [
        ("stub", "image", "text"),
        ("stub", "image", "sum"),
        ("stub", "text", "sum"),
    ]
    row, (image, text, _) = found.differences[0], found.results
    assert row["metrics"]["R@1"] == pytest.approx(text["metrics"]["R@1"] - image["metrics"]["R@1"])
    low, high = row["ci95"]["R@1"]
    assert low <= row["metrics"]["R@1"] <= high
    assert [low, high] == pytest.approx(text["ci95"]["R@1"])  # the photo alone never hits: pairing adds no noise
    (both,) = found.both_halves
    assert both["method"] == "sum" and set(both["over"]) == {"image", "text"} and both["metric"] == "mAP@10"
    assert not both["needed"]  # no encoder shows the fit, so words about the colour say it all


def test_encoders_are_compared_with_the_first(colour_task, tmp_path):
    encoders = [colour_encoder("runs/bad[bold]", confused=True), colour_encoder("runs/good")]
    found = evaluate_composed(encoders, colour_task, Chosen(TEXT), out=tmp_path, resamples=50)
    (difference,) = found.differences
    assert (difference["method"], difference["first"], difference["second"]) == ("text", "runs/bad[bold]", "runs/good")
    assert difference["metrics"]["R@1"] > 0
    assert names_in(tmp_path) == ["1_bad_bold_", "2_good", "comparison.json"]
    assert set(json.loads((tmp_path / "comparison.json").read_text())) == {"results", "differences", "both_halves_needed"}
    console = Console(width=200, file=io.StringIO())
    for table in (results_table(found), details_table(found), differences_table(found)):
        console.print(table)
    text = console.file.getvalue()
    assert "bad[bold]" in text and "mAP@10" in text and "good − bad[bold]" in text
    assert "right change, wrong garment" in text


def test_photos_are_encoded_once_for_all_methods(colour_task):
    encoder, calls = colour_encoder(), []
    encode = encoder.encode_images
    encoder.encode_images = lambda images, progress=True: calls.append(len(images)) or encode(images, progress)
    evaluate_composed([encoder], colour_task, Chosen(IMAGE, TEXT, SUM), resamples=10)
    assert calls == [10]


def test_steps_are_written_and_a_method_that_fails_leaves_the_others_work(colour_task, tmp_path):
    with pytest.raises(InputError, match="endpoint"):
        evaluate_composed([colour_encoder()], colour_task, Chosen(Shouting, Failing), out=tmp_path, resamples=10)
    assert (tmp_path / "1_stub/shouting/metrics.json").exists() and not (tmp_path / "comparison.json").exists()
    lines = [json.loads(line) for line in (tmp_path / "1_stub/shouting/steps.jsonl").read_text().splitlines()]
    assert len(lines) == 3 * 40 and lines[0]["rewritten"] == colour_task.wordings[0][0].upper()


class TwoSenses:
    """Sees the colour of a photo; reads colours and brands in words."""

    brands = ("Puma", "Zeta", "Lee")
    info = {"path": "two-senses", "weights_sha256": "1" * 64, "backbone": "stub", "method": "stub"}
    device, precision, tags = torch.device("cpu"), "fp32", ()

    def encode_images(self, images, progress=True):
        palette = np.array(list(COLOURS.values()))
        seen = [np.abs(palette - image.getpixel((0, 0))).sum(axis=1).argmin() for image in images]
        return np.eye(8, dtype=np.float32)[seen]

    def encode_texts(self, texts, progress=True):
        words = [*COLOURS, *(brand.lower() for brand in self.brands)]
        vectors = np.array([[word in text.lower() for word in words] for text in texts], dtype=np.float32)
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def test_dropped_tags_need_photo_and_words_together():
    # Wanted: the text of the photo's colour (the words drop it) by another brand (the photo does not show it).
    products = [
        Product(f"{colour}-{brand}", (png(colour),), ("a shirt",), {"colour": colour.capitalize(), "brand": brand})
        for colour in COLOURS
        for brand in TwoSenses.brands
    ]
    shelf = Shelf(products, tags=("colour", "brand"))
    task, _ = draw_task("attribute-drop", shelf, keep=["colour"], swap=["brand"], text="full", size=40)
    assert len(task) == 30 and set(task.categories) == {"colour"}
    found = evaluate_composed([TwoSenses()], task, Chosen(IMAGE, TEXT, SUM), resamples=50)
    assert [record["metrics"]["R@1"] for record in found.results] == pytest.approx([50, 20, 100])
    assert found.both_halves == [
        {
            "encoder": "two-senses",
            "method": "sum",
            "metric": "mAP@10",
            "over": found.both_halves[0]["over"],
            "needed": True,
        }
    ]


def test_fashioniq_averages_categories_without_weights(tmp_path):
    names = list(COLOURS)
    for category, count in zip(CATEGORIES, (4, 2, 1), strict=True):
        entries = [
            {
                "candidate": f"{category}-{names[i]}",
                "target": f"{category}-{names[i + 1]}",
                "captions": [f"is {names[i + 1]}", "nice"],
            }
            for i in range(count)
        ]
        if category == "shirt":  # two captions that lead elsewhere: misses at any k below the gallery's size
            entries = [{**entry, "captions": ["is black", "is black"]} for entry in entries]
        write(tmp_path / f"captions/cap.{category}.val.json", entries)
        listed = [f"{category}-{name}" for name in names] + [
            f"{category}-extra{i}" for i in range(60 if category == "shirt" else 0)
        ]
        write(tmp_path / f"image_splits/split.{category}.val.json", listed)
        (tmp_path / "images").mkdir(exist_ok=True)
        for name in listed:
            colour = name.partition("-")[2]
            (tmp_path / f"images/{name}.png").write_bytes(png(colour if colour in COLOURS else "black"))
    task = load_fashioniq(tmp_path, tmp_path / "images", missing="skip")
    metrics = evaluate_composed([colour_encoder()], task, Chosen(TEXT), resamples=20).results[0]["metrics"]
    assert list(metrics) == ["R@10", "R@50", *(f"R@{k}_{name}" for name in CATEGORIES for k in (10, 50))]
    assert (metrics["R@10_dress"], metrics["R@10_shirt"], metrics["R@10_toptee"]) == (100, 0, 100)
    assert metrics["R@10"] == pytest.approx(200 / 3)


def test_cirr_has_subset_recalls_and_circo_map(tmp_path):
    task = load_cirr(tmp_path / "cirr", small_cirr(tmp_path / "cirr"), missing="skip")
    metrics = evaluate_composed([colour_encoder()], task, Chosen(SUM), resamples=20).results[0]["metrics"]
    assert list(metrics) == ["R@1", "R@5", "R@10", "R@50", "R_subset@1", "R_subset@2", "R_subset@3"]
    # All photos are equal: every place is by chance, among 7 photos and among 5.
    assert [metrics["R@1"], metrics["R_subset@2"]] == pytest.approx([100 / 7, 40])
    task = load_circo(tmp_path / "circo", small_circo(tmp_path / "circo"), missing="skip")
    metrics = evaluate_composed([colour_encoder()], task, Chosen(SUM), resamples=20).results[0]["metrics"]
    assert list(metrics)[4:] == ["mAP@5", "mAP@10", "mAP@25", "mAP@50"] and metrics["R@5"] == 100


def test_hidden_answers_give_a_submission(tmp_path):
    task = load_cirr(tmp_path, small_cirr(tmp_path, "test1"), split="test1")
    with pytest.raises(InputError, match="hidden; only a submission"):
        evaluate_composed([colour_encoder()], task, Chosen(SUM))
    files = write_submissions([colour_encoder()], task, Chosen(SUM), cirr.write_submission, tmp_path / "out")
    recall, subset = (json.loads(path.read_text()) for path in files)
    assert len(recall["12"]) == 7 and "dev-1" not in recall["12"]  # all but the reference
    assert len(subset["13"]) == 3 and set(subset["13"]) <= {f"dev-{i}" for i in (2, 4, 0, 5, 6)}
    hidden = load_circo(tmp_path, small_circo(tmp_path, "test"), split="test", missing="skip")
    (path,) = write_submissions([colour_encoder()], hidden, Chosen(SUM), circo.write_submission, tmp_path / "circo")
    assert sorted(json.loads(path.read_text())["0"]) == [4, 17, 23, 170099]


def test_wrong_choices_are_named(colour_task):
    with pytest.raises(InputError, match="several different encoders"):
        evaluate_composed([colour_encoder(), colour_encoder()], colour_task, Chosen(SUM))
    for arguments, message in (
        ((["sumo"],), "unknown method 'sumo'; choose one of image, text, sum"),
        ((["sum", "sum"],), "named twice"),
    ):
        with pytest.raises(InputError, match=message):
            Methods(*arguments)
    for settings, message in (
        (["text_weight=1"], "write METHOD.KEY=VALUE"),
        (["slerp.text_weight=0.9"], "slerp has settings .* add it to --method"),
    ):
        with pytest.raises(InputError, match=message):
            Methods(["sum"], settings=settings)
    with pytest.raises(InputError, match="is not a fitted composer"):
        Methods(["sum"], ["/nowhere"])


def test_settings_are_values_or_plain_words():
    methods = Methods(["slerp", "cirevl"], settings=["slerp.text_weight=0.7", "cirevl.captions=runs/decap-{encoder}"])
    assert methods.options == {"slerp": {"text_weight": 0.7}, "cirevl": {"captions": "runs/decap-{encoder}"}}

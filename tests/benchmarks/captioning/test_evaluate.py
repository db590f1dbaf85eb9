"""Tag scores by hand, the runner on a small shelf, caption files, and the commands' failures."""

import io
import json

import numpy as np
import pytest
from rich.console import Console

from e2.adapters.captioning.files import read_captions
from e2.benchmarks.captioning.evaluate import evaluate_captioning, results_table
from e2.benchmarks.captioning.files import read_rows
from e2.benchmarks.captioning.java import JavaFailed
from e2.benchmarks.captioning.subjects import Candidate, captioned_by_all, read_truth
from e2.benchmarks.captioning.variety import distinct, words_and_repetition
from e2.data.product import Product
from e2.errors import InputError
from tests.benchmarks.stubs import COLOURS, Shelf, colour_encoder, png
from tests.command import names_in, run_command


def test_variety_by_hand():
    assert words_and_repetition(["a b a b", "a a", "a b c a b c", ""]).tolist() == [[4, 0], [2, 1], [6, 1], [0, 0]]
    assert distinct(["a b", "a c"], 1) == 75 and distinct(["a b", "a b"], 2) == 50 and distinct([""], 2) == 0


def shelf() -> Shelf:
    products = [
        Product(f"{colour}-{i}", (png(colour),), (f"a {colour} shirt number {i}", f"shirt in {colour}"), {"colour": colour})
        for i in range(4)
        for colour in COLOURS
    ]
    return Shelf(products, tags=("colour",))


@pytest.fixture
def truth():
    return read_truth(shelf())


def candidate(truth, path: str, wrong: int = 0) -> Candidate:
    """The first references, the first ``wrong`` of them in another colour."""
    others = dict(zip(COLOURS, [*list(COLOURS)[1:], "red"], strict=True))
    captions = {}
    for place, (name, tags) in enumerate(zip(truth.product_ids, truth.tags, strict=True)):
        colour = tags["colour"]
        captions[name] = f"a {others[colour] if place < wrong else colour} shirt number {name[-1]}"
    return Candidate(captions, {"path": path, "method": "test"})


def test_records_rows_and_paired_differences(truth, tmp_path):
    pair = [candidate(truth, "runs/good[bold]"), candidate(truth, "runs/bad", wrong=5)]
    compared = evaluate_captioning(pair, truth, out=tmp_path, encoder=colour_encoder(), java="none", resamples=200)
    good, bad = compared.results
    assert good["metrics"]["BLEU@4"] == pytest.approx(100) and good["metrics"]["tag_recall_colour"] == 100
    assert bad["metrics"]["tag_recall_colour"] == bad["metrics"]["tag_precision_colour"] == 75
    assert good["metrics"]["self_retrieval_R@1"] == pytest.approx(25)  # four photos of a colour look the same
    assert bad["metrics"]["self_retrieval_R@1"] == pytest.approx(25 * 0.75)
    assert good["n"] == 20 and good["n_references"] == 40 and "METEOR" in good["missing"]
    assert good["metrics"]["unique_captions"] == 100
    low, high = bad["ci95"]["tag_recall_colour"]
    assert low < 75 < high and bad["ci95"]["BLEU@4"][0] < bad["metrics"]["BLEU@4"] < bad["ci95"]["BLEU@4"][1]
    (difference,) = compared.differences
    assert difference["metrics"]["tag_recall_colour"] == -25 and difference["ci95"]["tag_recall_colour"][1] < 0
    assert names_in(tmp_path) == ["1_good_bold_", "2_bad", "comparison.json"]
    assert json.loads((tmp_path / "2_bad" / "metrics.json").read_text()) == json.loads(json.dumps(bad))
    row = read_rows(tmp_path / "2_bad" / "captions.jsonl")[0]
    assert row["mentions"] == [{"start": 2, "end": 7, "entity": "colour", "value": "green", "right": False}]
    assert row["references"] == ["a red shirt number 0", "shirt in red"] and row["tags"] == {"colour": "red"}
    assert results_table(compared).columns[1].header.plain == "good[bold]"


def test_the_interval_of_corpus_bleu_is_that_of_resampled_corpora(truth):
    from e2.benchmarks.captioning.metrics import score_captions

    one = candidate(truth, "bad", wrong=7)
    record = evaluate_captioning([one], truth, java="none", resamples=60, seed=3).results[0]
    references = dict(zip(truth.product_ids, truth.references, strict=True))
    rng, values = np.random.default_rng(3), []
    for _ in range(60):
        drawn = rng.integers(20, size=20)
        names = [(f"{place}", truth.product_ids[row]) for place, row in enumerate(drawn)]
        again = score_captions({a: one.captions[b] for a, b in names}, {a: references[b] for a, b in names}, java="none")
        values.append(again.metrics["BLEU@4"])
    np.testing.assert_allclose(record["ci95"]["BLEU@4"], np.percentile(values, [2.5, 97.5]), rtol=1e-9)


def test_captions_are_kept_when_java_fails(truth, tmp_path, monkeypatch):
    def fails(*_, **__):
        raise JavaFailed("java failed")

    monkeypatch.setattr("e2.benchmarks.captioning.metrics.find_java", fails)
    with pytest.raises(JavaFailed):
        evaluate_captioning([candidate(truth, "a")], truth, out=tmp_path)
    assert len(read_captions(tmp_path / "captions.jsonl").captions) == 20


class Parrot:
    """Says the colour that its encoder saw."""

    reads_regions = False

    def __init__(self, path: str, encoder, looks: list):
        self.info, self.encoder, self.looks = {"path": path}, encoder, looks

    def look(self, images):
        self.looks.append(self.info["path"])
        return self.encoder.encode_images(images), None

    def caption_features(self, features, regions):
        names = list(COLOURS)
        texts = self.encoder.encode_texts(names)
        return [f"a {names[place]} shirt" for place in (features @ texts.T).argmax(axis=1)]


def test_captioners_write_the_captions_and_those_of_one_encoder_look_once(truth):
    encoder, looks = colour_encoder(), []
    other = colour_encoder()
    other.info = {**other.info, "weights_sha256": "another"}
    parrots = [Parrot("a", encoder, looks), Parrot("b", encoder, looks), Parrot("c", other, looks)]
    first, second, third = evaluate_captioning(parrots, truth, java="none", resamples=20).results
    assert first["metrics"]["tag_recall_colour"] == 100 and first["model"] == {"path": "a"}
    assert first["metrics"] == second["metrics"] == third["metrics"]
    assert looks == ["a", "c"]
    evaluate_captioning(parrots, truth, java="none", encoder=encoder, resamples=20)
    assert looks == ["a", "c", "c"]  # the judge has looked already


def test_products_without_a_word_are_refused_or_left_out():
    stock = shelf()
    stock.products[3] = Product("bare", (png("red"),), ("...",), {"colour": "red"})
    with pytest.raises(InputError, match=r"1 of 20 products have no word in their references \(first: bare\)"):
        read_truth(stock)
    stock.columns, stock.bad_rows, stock.notes = (), {}, {}  # what a subset takes over
    left = read_truth(stock, skip_wordless=True)
    assert len(left.product_ids) == len(left.catalogue) == 19
    with pytest.raises(InputError, match="choose caption or full"):
        read_truth(stock, "title")


def test_wrong_candidates_are_named(truth):
    one = candidate(truth, "a")
    with pytest.raises(InputError, match="several different"):
        evaluate_captioning([one, one], truth)
    short = Candidate({"red-0": "a"}, {"path": "short"})
    with pytest.raises(InputError, match="short has no caption for 19 of 20 products"):
        evaluate_captioning([short], truth)


def test_a_subset_is_scored_on_request():
    stock = shelf()
    stock.columns, stock.bad_rows, stock.notes = (), {}, {}  # what a subset takes over
    truth = read_truth(stock)
    half = Candidate(dict.fromkeys(truth.product_ids[:10], "a red shirt"), {"path": "half"}, {truth.product_ids[10]: "torn"})
    with pytest.raises(InputError, match=r"9 of 20 products .*its own ids: red-0, .*--missing skip"):
        evaluate_captioning([half], truth)
    compared = evaluate_captioning([half], captioned_by_all([half], truth), java="none", resamples=5)
    (record,) = compared.results
    assert (record["n"], record["n_of"]) == (11, 20)
    assert any(note.startswith("1 of 11 products have an error in place of a caption") for note in record["notes"])
    assert "11 products of 20" in results_table(compared).title.plain
    with pytest.raises(InputError, match="its own ids: x"):
        captioned_by_all([Candidate({"x": "a"}, {"path": "other"})], truth)


def test_the_command(shop, tmp_path):
    file = tmp_path / "mine.json"
    file.write_text(json.dumps({f"val-{i}": f"A {('red', 'green', 'blue', 'grey')[i % 4]} tee" for i in range(12)}))
    options = ["--captions", str(file), "--data", str(shop), "--split", "val", "--tags", "brand,season,colour"]
    done = run_command("evaluate", "captioning", *options, "--java", "none", "--out", tmp_path / "out", "--json")
    assert done.status == 0, done
    record = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert record["metrics"]["tag_recall_colour"] == 100 and record["split"] == "val"
    broken = tmp_path / "java"
    broken.write_text("#!/bin/sh\necho no >&2; exit 1\n")
    broken.chmod(0o755)
    failed = run_command("evaluate", "captioning", *options, "--java", broken, "--out", tmp_path / "kept")
    assert failed.status == 1 and (tmp_path / "kept" / "captions.jsonl").is_file()


def test_many_captioners_are_rows_of_a_table(truth):
    """Beside each other their columns, with those of all pairs, would be one letter wide."""
    many = [candidate(truth, f"runs/number-{number}", wrong=number) for number in range(5)]
    console = Console(width=80, file=io.StringIO())
    console.print(results_table(evaluate_captioning(many, truth, java="none", resamples=20)))
    lines = console.file.getvalue().splitlines()
    assert max(map(len, lines)) <= 80 and "comparison.json" in lines[-1] + lines[-2]
    assert any("number-4" in line and line.count(" to ") >= 2 for line in lines)
    assert not any("…" in line for line in lines)


def test_what_is_not_finite_is_refused(truth, monkeypatch):
    judge = colour_encoder()
    monkeypatch.setattr(judge, "encode_texts", lambda texts, progress=True: np.full((len(texts), 3), np.nan, np.float32))
    with pytest.raises(InputError, match="20 of 20 .* not finite"):
        evaluate_captioning([candidate(truth, "a")], truth, java="none", encoder=judge, resamples=2)
    lost = lambda texts: np.full((len(texts), 2), np.nan)  # noqa: E731
    monkeypatch.setattr("e2.benchmarks.captioning.scoring.words_and_repetition", lost)
    with pytest.raises(InputError, match="a: scores that are not finite"):
        evaluate_captioning([candidate(truth, "a")], truth, java="none", resamples=2)

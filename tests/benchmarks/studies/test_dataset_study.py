"""`e2 study dataset`: nothing trained, catalogues side by side."""

import json
from collections import Counter

import pytest

from e2.benchmarks.core.names import short_names
from e2.benchmarks.studies.dataset import statistics
from tests.command import run_command


def test_statistics_of_a_hand_made_catalogue():
    split = {"products": 4, "images": 6, "captions": 4, "caption_words_mean": 5.0, "caption_tokens_mean": 8.0}
    info = {"splits": {"train": {**split, "over_context_length": {"caption": 1, "full": 2}}}}
    found = statistics(info, {"brand": Counter({"Nike": 2, "Puma": 1})})
    assert found["images"] == 6 and found["words a caption"] == 5.0
    assert found["captions cut at the context length, %"] == 25 and found["full texts cut at the context length, %"] == 50
    assert found["brand: values"] == 2 and found["brand: values of a single product"] == 1
    assert found["brand: products of the top 10% of values, %"] == pytest.approx(200 / 3)
    assert found["brand: products without, %"] == 25


def test_short_names_stay_different(shop):
    assert short_names([str(shop), "boutique:seed=1"]) == [shop.name, "boutique"]
    assert short_names(["/data/photos/", "fashiongen:/data/fg", "a.csv"]) == ["photos", "fashiongen", "a.csv"]
    assert short_names(["boutique:seed=1", "boutique:seed=2"]) == ["boutique:seed=1", "boutique:seed=2"]


def test_two_catalogues(shop, tmp_path):
    other = tmp_path / "other"
    made = run_command("data", "import", shop, "--tags", "brand,colour", "--out", other)
    assert made.status == 0, made.err
    out = tmp_path / "out"
    answer = run_command("study", "dataset", "--data", shop, "--data", other, "--tags", "brand,colour", "--out", out)
    assert answer.status == 0, answer.err
    record = json.loads((out / "metrics.json").read_text())
    assert record["metrics"][str(shop)] == record["metrics"][str(other)]
    assert record["metrics"][str(shop)]["products"] == 72 and (out / "figure.svg").exists()
    twice = run_command("study", "dataset", "--data", shop, "--data", shop, "--out", tmp_path / "twice")
    assert twice.status == 2 and "twice" in twice.line

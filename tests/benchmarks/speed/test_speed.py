import inspect
import io
import json
import operator
import re
import time
from pathlib import Path

import pytest
import torch
from rich.console import Console
from torch.testing import assert_close
from typer import Typer
from typer.testing import CliRunner

from e2.benchmarks.speed import growth, method_steps, retrieval, train_step, trainers
from e2.benchmarks.speed.command import speed
from e2.benchmarks.speed.harness import compare, peak_memory
from e2.benchmarks.speed.record import JOINT, measure
from e2.benchmarks.speed.registry import MEASUREMENTS, measurement, read_options
from e2.benchmarks.speed.table import shown as form
from e2.benchmarks.speed.table import speed_table, spelled
from e2.config import DataConfig, ModelConfig, TrainConfig
from e2.data import open_catalogue
from e2.errors import InputError
from e2.settings import flattened
from tests.shared import ROOT

APP = Typer()
APP.command()(speed)


@pytest.mark.parametrize("warm_up", [True, False])
def test_a_comparison_gives_the_ratio_of_the_times(warm_up):
    calls = []
    found = compare(
        lambda: (calls.append("ours"), time.sleep(0.02)),
        lambda: (calls.append("reference"), time.sleep(0.08)),
        3,
        warm_up=warm_up,
    )
    assert calls == ["ours", "reference"] * (4 if warm_up else 3)
    assert found["ratio_min"] <= found["ratio"] <= found["ratio_max"] < 1
    assert found["ours_s"] >= 0.02 and found["reference_s"] >= 0.08


def test_the_peak_of_a_process_counts_what_it_takes():
    ballast = b"x" * 300_000_000  # what this process holds is not the other's
    assert 150e6 < peak_memory(operator.mul, b"x", 200_000_000) - peak_memory(operator.mul, b"x", 1) < 250e6
    assert len(ballast) == 300_000_000


@pytest.mark.parametrize("name", MEASUREMENTS)
def test_every_measurement_runs_with_its_defaults(name):
    parameters = inspect.signature(measurement(name)).parameters.values()
    assert parameters and all(parameter.default is not parameter.empty for parameter in parameters)


def test_settings_take_the_type_of_the_default():
    run = measurement("train-step")
    assert read_options(run, ["backbone=ViT-B-32", "batch_size=32", "tags=brand, season"]) == {
        "backbone": "ViT-B-32",
        "batch_size": 32,
        "tags": ("brand", "season"),
    }
    assert read_options(growth.run, ["sizes=10,20"]) == {"sizes": (10, 20)}
    assert read_options(measurement("memory-projection"), ["half=true"]) == {"half": True}


@pytest.mark.parametrize("setting", ["size=3", "products", "products=many", "products=-1", "products=1.5"])
def test_wrong_settings_are_refused(setting):
    with pytest.raises(InputError, match="--set"):
        read_options(retrieval.run, [setting])


def test_an_unknown_measurement_is_refused_with_the_known_ones():
    with pytest.raises(InputError, match="train-step, trainers, cached-step"):
        measurement("everything")


def test_the_command_writes_a_record_of_numbers_settings_and_machine(tmp_path, monkeypatch):
    monkeypatch.setattr(retrieval, "peak_memory", lambda function, work, *sizes: 1000 if work is retrieval.nothing else 1500)
    arguments = ["retrieval", "--repeats", "2", "--set", "products=300", "--set", "width=8", "--json", "--out", str(tmp_path)]
    result = CliRunner().invoke(APP, arguments, catch_exceptions=False)
    record = json.loads((tmp_path / "metrics.json").read_text())
    assert record == json.loads(result.stdout)
    assert record["benchmark"] == "speed" and record["protocol"] == "retrieval"
    assert 0 < record["metrics"]["ratio_min"] <= record["metrics"]["ratio"] <= record["metrics"]["ratio_max"]
    assert record["metrics"]["beyond_features_bytes"] == 500
    assert record["settings"] == {"products": 300, "width": 8, "repeats": 2, "seed": 0}
    assert record["machine"]["threads"] == torch.get_num_threads() and record["machine"]["processor"]


def test_repeats_are_refused_where_there_are_none():
    result = CliRunner().invoke(APP, ["input-pipeline", "--repeats", "2"])
    assert isinstance(result.exception, InputError) and "--repeats" in str(result.exception)


def test_growth_measures_each_size_and_draws_them(tmp_path, monkeypatch):
    monkeypatch.setattr(growth, "peak_memory", lambda function, *given: 1000 * sum(a for a in given if isinstance(a, int)))
    record = measure("growth", growth.run, {"sizes": (32, 64), "most_photos": 32, "queries": 8, "width": 4, "repeats": 1})
    details = record["details"]
    assert [point["products"] for point in details["evaluate"]] == [32, 64]
    assert [point["products"] for point in details["embed"]] == [32]
    assert record["metrics"]["evaluate_per_product_ratio"] > 0
    lines = printed(record)
    assert [row[1:] for row in cells(lines) if row[0] == "products"] == [["32"], ["32", "64"]]
    assert lines.index("embed") < lines.index("evaluate")
    growth.draw(details, tmp_path / growth.PICTURE)
    assert "<svg" in (tmp_path / growth.PICTURE).read_text()


def test_the_repeated_catalogue_is_what_it_says():
    catalogue = growth.Repeated([growth.noise_photo(0), growth.noise_photo(1)], 5)
    assert len({catalogue[i].product_id for i in range(5)}) == 5
    assert catalogue[0].images == catalogue[4].images != catalogue[1].images


@pytest.fixture
def config(tiny, shop):
    tags = ("brand", "season", "colour")
    data = DataConfig(data=str(shop), tags=tags, batch_size=16, augment="none")
    return TrainConfig(backbone=tiny, device="cpu", steps=10, model=ModelConfig(tags=tags), data=data)


def test_both_steps_learn_from_the_same_batch(config):
    batches = train_step.loaded_batches(config)
    assert [len(batch) for batch in batches] == [16]
    for steps in (train_step.OurSteps(config, batches), train_step.PlainSteps(config, batches)):
        model = steps.run.model.clip if isinstance(steps, train_step.OurSteps) else steps.model
        before = {name: p.detach().clone() for name, p in model.named_parameters()}
        steps()
        assert all(not torch.equal(before[name], p) for name, p in model.named_parameters() if p.ndim > 1)
    assert batches[0].tokens.shape[1] == 77  # what one way does to the batch the other does not see


def test_without_tags_and_clipping_our_step_has_the_plain_loss(config):
    """The reference is right: same weights, same batch, same global loss."""
    batches = train_step.loaded_batches(config)
    ours, plain = train_step.OurSteps(config, batches), train_step.PlainSteps(config, batches)
    plain.model.load_state_dict(ours.run.model.clip.state_dict())
    images, tokens = plain.batches[0]
    expected = plain.loss(**plain.model(images, tokens))
    losses = ours.run.method(batches[0])
    assert_close(losses["global_loss"], expected, atol=1e-5, rtol=1e-5)  # before training E2's image embedding is CLIP's
    assert losses["region_loss"] > 0


def test_train_step_reports_times_memory_and_text_lengths(tiny, shop, monkeypatch):
    monkeypatch.setattr(train_step, "peak_memory", lambda *arguments: 1000)
    tags = ("brand", "season", "colour")
    found = train_step.run(tiny, 16, precision="fp32", data=str(shop), tags=tags, device="cpu", repeats=1)
    assert found["memory_ratio"] == 1 and found["ratio"] > 0
    assert found["images_per_second"] == pytest.approx(16 / found["ours_s"])
    assert 7 <= found["description_tokens"] <= 8  # "A red tee number 13" between two marks, a token for each digit
    assert found["unique_texts"] == 16 + 3 + 2 + 4  # descriptions, brands, seasons, colours


@pytest.mark.parametrize("cached", [False, True])
def test_method_steps_price_each_method_from_photos_and_from_a_cache(tiny, shop, tmp_path, monkeypatch, cached):
    monkeypatch.setattr(train_step, "peak_memory", lambda *arguments: 1000)
    monkeypatch.setattr(method_steps, "peak_memory", lambda *arguments: 1000)
    how = {"methods": ("clip", "e2"), "tags": ("brand", "colour"), "gates": "pooled", "locations": "patches", "layers": (2,)}
    cache = tmp_path / "cache" if cached else ""
    found = method_steps.run(tiny, 16, precision="fp32", data=str(shop), cache=str(cache), device="cpu", repeats=1, **how)
    clip, e2 = found["rows"]
    assert (clip["method"], clip["time_ratio"], clip["memory_ratio"], e2["method"]) == ("clip", 1, 1, "e2")
    assert clip["image_parameters"] < e2["image_parameters"] and e2["seconds"] > 0
    if cached:
        kept = {path.parent.name for path in cache.rglob("*.safetensors")}
        assert "stream-2" in kept and "pooled" in kept  # what e2 reads after its one fusion layer, and what clip does


def test_trainers_read_the_same_files_and_learn(tiny, shop, monkeypatch):
    learnt = []

    def compare(ours, theirs, repeats):
        for epochs, model in ((ours, ours.run.model.clip), (theirs, theirs.model)):
            before = {name: p.detach().clone() for name, p in model.named_parameters()}
            epochs()
            learnt.append(all(not torch.equal(before[name], p) for name, p in model.named_parameters() if p.ndim > 1))
        images = theirs.data["train"].dataloader.dataset.images
        originals = [open_catalogue(str(shop), "train")[row].images[0] for row in range(40)]
        assert [Path(image).read_bytes() for image in images] == originals
        assert [product.images[0].read_bytes() for product in ours.run.views.catalogue] == originals
        assert ours.run.progress.step == 2 and theirs.epoch == 1
        return {"ours_s": 2.0, "reference_s": 4.0}

    monkeypatch.setattr(trainers, "compare", compare)
    how = {"method": "e2", "epoch": 40, "tags": ("brand", "colour"), "workers": 0, "device": "cpu", "precision": "fp32"}
    found = trainers.run(tiny, 16, data=str(shop), **how)
    assert learnt == [True, True]
    assert (found["images_per_second"], found["reference_images_per_second"]) == (16, 8)


def printed(record) -> list[str]:
    console = Console(width=80, file=io.StringIO())
    console.print(speed_table(record))
    return console.file.getvalue().splitlines()


def cells(lines: list[str]) -> list[list[str]]:
    """Rows of the tables, headings too."""
    return [[cell.strip() for cell in re.split("[│┃]", line)[1:-1]] for line in lines if line[0] in "│┃"]


def test_tables_show_numbers_within_numbers_a_column_per_point():
    """As `index-growth` has them: latencies by filter, within the points of growth."""

    def run(sizes=(10, 2000), server=""):
        return {"points": [{"products": size, "all": {"p50_ms": 1.5, "recall": 1.0}} for size in sizes]}

    lines = printed(measure("index-growth", run, {}))
    assert cells(lines) == [["products", "10", "2,000"], ["all p50 (ms)", "1.5", "1.5"], ["all recall", "1", "1"]]
    assert lines[0] == "speed of index-growth" and lines[-1] == "sizes=10, 2000"


def several_engines(names=("local", "faiss-flat", "faiss-ivf-flat", "faiss-ivf-sq8", "faiss-hnsw", "milvus-lite")):
    points = [{"engine": name, "peak_bytes": 10**9, "filtered_p99_ms": 1234.5} for name in names]
    return {"points": [{**points[0], "delete_s": 0.1}, *points[1:]]}


RECORDS = [path for path in sorted((ROOT / "benchmarks/results").rglob("metrics.json")) if '"speed"' in path.read_text()[:40]]


@pytest.mark.parametrize("path", [None, *RECORDS], ids=lambda path: path and path.parent.name)
def test_nothing_wraps_or_is_cut_at_80_columns(path):
    record = json.loads(path.read_text()) if path else measure("index-engines", several_engines, {})
    lines = printed(record)
    shown = cells(lines)
    points = [flattened(row, JOINT) for rows in record["details"].values() for row in rows if isinstance(row, dict)]
    assert max(map(len, lines)) <= 80 and not any("…" in line for line in lines)
    assert all([spelled(name), form(name, value)] in shown for name, value in record["metrics"].items())
    for name in {name for point in points for name in point}:
        found = [cell for label, *values in shown if label == spelled(name) for cell in values if cell != "–"]
        assert sorted(found) == sorted(form(name, point[name]) for point in points if name in point)

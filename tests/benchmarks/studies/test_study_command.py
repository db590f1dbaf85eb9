"""`e2 study` from end to end: trains, measures, writes; goes on; refuses."""

import csv
import json
import os
import signal
from pathlib import Path

import pytest

import e2.training.train
from e2.benchmarks.core.figures import ENDINGS
from e2.benchmarks.studies import trained as engine
from e2.benchmarks.studies.tables import variants_table
from tests.command import run_command


def study(name: str, shop, tiny, out, *further: object):
    options = ("--tags", "brand,season,colour", "--split", "val", "--backbone", tiny, "--steps", 1, "--batch-size", 4)
    given = ("study", name, "--data", shop, *options, "--device", "cpu", "--workers", 0, "--out", out)
    return run_command(*given, *further)


@pytest.fixture(scope="module")
def done(tiny, shop, tmp_path_factory):
    """A small study of two variants and two seeds."""
    out = tmp_path_factory.mktemp("study") / "main"
    answer = study("main", shop, tiny, out, "--variants", "clip,e2", "--seeds", "0,1", "--runs", out.parent / "runs")
    assert answer.status == 0, answer.err
    return out


def test_writes_results_tables_and_figures(done):
    record = json.loads((done / "metrics.json").read_text())
    assert (record["benchmark"], record["protocol"], record["split"], record["n"]) == ("study", "main", "val", 12)
    assert list(record["metrics"]) == ["clip", "e2"] and record["seed"] == [0, 1]
    assert record["model"]["steps"] == 1 and record["model"]["data"]["tags"] == ["brand", "season", "colour"]
    assert set(record["data_sha256"]) == {"train", "val"} and len(record["runs"]) == 4
    assert "products and seeds" in record["bootstrap"]
    assert record["variants"]["clip"]["added_parameters"] == 0 < record["variants"]["e2"]["added_parameters"]
    for name in ("figure", "curves"):
        assert all((done / f"{name}.{ending}").stat().st_size > 1000 for ending in ENDINGS)
    assert "| clip |" in (done / "table.md").read_text() and r"\begin{tabular}" in (done / "table.tex").read_text()


def test_means_and_differences_are_those_of_the_runs(done):
    record = json.loads((done / "metrics.json").read_text())
    of = {(run["variant"], run["seed"]): run["metrics"]["SumR"] for run in record["runs"]}
    assert record["metrics"]["e2"]["SumR"] == pytest.approx((of["e2", 0] + of["e2", 1]) / 2)
    (pair,) = record["differences"]
    assert (pair["first"], pair["second"]) == ("clip", "e2")
    assert pair["by_seed"]["SumR"] == [pytest.approx(of["e2", seed] - of["clip", seed]) for seed in (0, 1)]
    low, high = record["ci95"]["e2"]["SumR"]
    assert low <= record["metrics"]["e2"]["SumR"] <= high


def test_what_reads_patches_is_trained_first_and_fills_the_cache(done):
    record = json.loads((done / "metrics.json").read_text())
    order = {
        (run["variant"], run["seed"]): Path(run["path"]).with_suffix(".json").stat().st_mtime_ns for run in record["runs"]
    }
    assert list(order) == [("clip", 0), ("e2", 0), ("clip", 1), ("e2", 1)]
    assert sorted(order, key=order.get) == [("e2", 0), ("clip", 0), ("e2", 1), ("clip", 1)]


def test_agrees_with_e2_evaluate_retrieval(done, shop):
    run = json.loads((done / "metrics.json").read_text())["runs"][1]
    command = ("evaluate", "retrieval", "--model", run["path"], "--data", shop, "--split", "val", "--workers", 0, "--json")
    found = json.loads(run_command(*command).out)["results"][0]["metrics"]
    assert found == {name: pytest.approx(run["metrics"][name]) for name in found}


def test_another_study_trains_only_what_is_new(done, shop, tiny, monkeypatch):
    begun = []
    monkeypatch.setattr(engine, "trained", lambda *given, known=engine.trained: begun.append(known(*given)) or begun[-1])
    runs = done.parent / "runs"
    before = {path.name: path.stat().st_mtime_ns for path in runs.glob("*/model.safetensors")}
    answer = study("groups", shop, tiny, done.parent / "groups", "--variants", "e2,none", "--seeds", 0, "--runs", runs)
    assert answer.status == 0, answer.err
    assert {path.name: path.stat().st_mtime_ns for path in runs.glob("*/model.safetensors")} == before
    assert [run.folder.name[12:] for run in begun] == ["-e2-0", "-clip-0"]
    record = json.loads((done.parent / "groups" / "metrics.json").read_text())
    assert "products only" in record["bootstrap"] and "one seed" in record["bootstrap"]
    assert record["columns"] == ["SumR", *record["described"]] and len(record["described"]) == 3
    rows = variants_table(record).rows.values()
    assert not any(cell.best for row in rows for cell in row[1:4])  # what only describes leads nothing


def test_going_on_measures_nothing_again_and_takes_further_seeds(done, shop, tiny, monkeypatch):
    options = ("--variants", "clip,e2", "--runs", done.parent / "runs")
    loaded = []
    monkeypatch.setattr("e2.benchmarks.studies.measuring.load_encoder", lambda *_, **__: loaded.append(1))
    assert study("main", shop, tiny, done, *options, "--seeds", "0,1").status == 0 and not loaded


def test_an_interrupted_study_goes_on_to_the_same_end(shop, tiny, tmp_path, monkeypatch):
    options = ("--variants", "clip,e2", "--seeds", 0, "--steps", 3)
    step, taken = e2.training.train.take_step, []

    def take_step_and_stop(run, batch):
        taken.append(run)
        if len(taken) == 5:  # the second step of the second training
            os.kill(os.getpid(), signal.SIGTERM)
        return step(run, batch)

    monkeypatch.setattr("e2.training.train.take_step", take_step_and_stop)
    stopped = study("main", shop, tiny, tmp_path / "out", *options)
    assert stopped.status == 1 and "clip, seed 0" in stopped.line and len(taken) == 5
    assert not (tmp_path / "out" / "metrics.json").exists()
    assert study("main", shop, tiny, tmp_path / "out", *options).status == 0 and len(taken) == 6
    monkeypatch.undo()
    assert study("main", shop, tiny, tmp_path / "whole", *options).status == 0
    resumed, whole = (json.loads((tmp_path / name / "metrics.json").read_text()) for name in ("out", "whole"))
    assert resumed["metrics"] == whole["metrics"]


def test_results_of_another_study_are_not_replaced(done, shop, tiny):
    before = (done / "metrics.json").read_bytes()
    answer = study("modules", shop, tiny, done, "--seeds", 0)
    assert answer.status == 2 and "choose another --out" in answer.line
    assert (done / "metrics.json").read_bytes() == before


@pytest.mark.parametrize(
    ("name", "further", "said"),
    [
        ("nope", (), "unknown study"),
        ("main", ("--seeds", "0,x"), "--seeds"),
        ("main", ("--variants", "x"), "--variants x"),
        ("main", ("--set", "model.nope=1"), "unknown setting nope"),
        ("main", ("--data", "boutique"), "one catalogue"),
        ("forgetting", (), "--pretrained"),
    ],
)
def test_wrong_use_is_told_in_a_line_and_writes_nothing(shop, tiny, tmp_path, name, further, said):
    answer = study(name, shop, tiny, tmp_path / "out", *further)
    assert answer.status == 2 and said in answer.line and not (tmp_path / "out").exists()


def test_training_curves_hold_the_log(done):
    run = json.loads((done / "metrics.json").read_text())["runs"][0]
    with open(f"{run['path']}/log.csv", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["SumR"]]
    assert [[int(row["step"]), pytest.approx(float(row["SumR"]), rel=1e-4)] for row in rows] == run["history"]

"""Trackers get what ``log.csv`` gets; one that is not installed is one line before anything is read."""

import contextlib
import csv
import json
import sqlite3
import sys
from importlib.machinery import ModuleSpec
from types import ModuleType, SimpleNamespace

import accelerate.tracking
import pytest
from accelerate.utils import LoggerType

from e2.training.trackers import log_row
from tests.command import run_command

LINE = "train --backbone test-tiny --method clip --batch-size 16 --steps 2 --device cpu --workers 0"


@pytest.fixture
def wandb(monkeypatch):
    """Stands in for wandb, as accelerate's tracker calls it: what it was told."""
    told = SimpleNamespace(settings={}, rows=[], ended=0)

    def init(**options):
        told.options = options
        return SimpleNamespace(
            log=lambda values, step: told.rows.append((step, values)), finish=lambda: told.__setattr__("ended", 1)
        )

    module = ModuleType("wandb")
    module.__spec__ = ModuleSpec("wandb", None)
    module.init, module.config = init, SimpleNamespace(update=lambda values, **_: told.settings.update(values))
    monkeypatch.setitem(sys.modules, "wandb", module)
    monkeypatch.setattr(accelerate.tracking, "_available_trackers", [LoggerType.WANDB])
    monkeypatch.delenv("WANDB_MODE", raising=False)
    return told


def test_a_tracker_gets_the_rows_and_the_settings_offline(shop, tiny, tmp_path, wandb):
    out = tmp_path / "mine"
    answer = run_command(*LINE.split(), "--data", shop, "--set", "trackers=[wandb]", "--out", out)
    assert answer.status == 0, answer
    assert wandb.options == {"project": "e2", "name": "mine", "dir": str(out), "mode": "offline"}
    assert (wandb.settings["method"], wandb.settings["data.batch_size"], wandb.ended) == ("clip", 16, 1)
    with open(out / "log.csv") as file:
        rows = list(csv.DictReader(file))
    assert [step for step, _ in wandb.rows] == [int(row["step"]) for row in rows]
    for (_, values), row in zip(wandb.rows, rows, strict=True):
        assert {name: f"{value:.6g}" for name, value in values.items()} == {
            name: value for name, value in row.items() if value and name != "step"
        }
    assert not (out / "tensorboard").exists()


def test_mlflow_gets_the_rows_under_names_that_it_takes(shop, tiny, tmp_path, monkeypatch):
    mlflow = pytest.importorskip("mlflow", reason="MLflow is not part of the test extra")
    place = f"file:{tmp_path / 'mlflow'}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", place)
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    out = tmp_path / "mine"
    answer = run_command(*LINE.split(), "--data", shop, "--set", "trackers=[mlflow]", "--out", out)
    assert answer.status == 0, answer
    mlflow.set_tracking_uri(place)
    (run,) = mlflow.search_runs(experiment_names=["e2"], output_format="list")
    assert (run.info.run_name, run.data.params["method"], run.info.status) == ("mine", "clip", "FINISHED")
    last = json.loads((out / "summary.json").read_text())["history"][-1]
    assert run.data.metrics["text_to_image_R_at_1"] == pytest.approx(last["text_to_image_R@1"])


def test_wandb_itself_keeps_the_run_offline(shop, tiny, tmp_path, monkeypatch):
    pytest.importorskip("wandb", reason="wandb is not part of the test extra")
    monkeypatch.delenv("WANDB_MODE", raising=False)
    out = tmp_path / "mine"
    answer = run_command(*LINE.split(), "--data", shop, "--set", "trackers=[wandb]", "--json", "--out", out)
    assert answer.status == 0 and json.loads(answer.out)["step"] == 2, answer
    (kept,) = out.glob("wandb/offline-run-*/run-*.wandb")
    last, content = json.loads((out / "summary.json").read_text())["history"][-1], kept.read_bytes()
    for part in ("mine", "data.batch_size", '"clip"', "text_to_image_R@1", json.dumps(last["SumR"])):
        assert part.encode() in content, part


def test_trackio_itself_keeps_the_rows_and_leaves_stdout_alone(shop, tiny, tmp_path, monkeypatch):
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))  # before it is imported
    pytest.importorskip("trackio", reason="trackio is not part of the test extra")
    out = tmp_path / "mine"
    answer = run_command(*LINE.split(), "--data", shop, "--set", "trackers=[trackio]", "--json", "--out", out)
    assert answer.status == 0 and json.loads(answer.out)["step"] == 2, answer
    with contextlib.closing(sqlite3.connect(tmp_path / "trackio" / "e2.db")) as database:
        (settings,) = database.execute("SELECT config FROM configs WHERE run_name = 'mine'").fetchone()
        rows = database.execute("SELECT step, metrics FROM metrics WHERE run_name = 'mine' ORDER BY id").fetchall()
    assert json.loads(settings)["method"] == "clip"
    last = json.loads((out / "summary.json").read_text())["history"][-1]
    step, metrics = rows[-1]
    assert (step, json.loads(metrics)["SumR"]) == (2, pytest.approx(last["SumR"]))
    assert sys.modules["trackio"].context_vars.current_run.get() is None  # nothing is left to say at exit


def test_names_are_changed_for_mlflow_alone():
    told = {}
    trackers = [
        SimpleNamespace(name=name, log=lambda values, step, name=name: told.update({name: (values, step)}))
        for name in ("wandb", "mlflow")
    ]
    log_row(SimpleNamespace(trackers=trackers), {"second_text_to_image_R@1": 2.0}, 3)
    assert told == {"wandb": ({"second_text_to_image_R@1": 2.0}, 3), "mlflow": ({"second_text_to_image_R_at_1": 2.0}, 3)}


def test_a_tracker_that_is_not_installed_is_one_line(shop, tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(accelerate.tracking, "_available_trackers", [])
    answer = run_command(*LINE.split(), "--data", shop, "--set", "trackers=[trackio]", "--dry-run", "--out", tmp_path / "run")
    assert answer.status == 2
    assert answer.line.endswith("trackers: trackio is not installed; pip install trackio, or leave it out")

"""Training runs through the real entry point; resuming is compared bit for bit."""

import csv
import json
import math
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import e2
from e2.config import OptimConfig
from e2.methods import METHODS
from e2.training.optim import make_optimizer, rate_factor, set_rates
from e2.training.run import locked, start_run
from tests.conftest import TAGS, TINY
from tests.shared import ROOT

OPTIONS = {"data.tags": ",".join(TAGS), "data.batch_size": 16, "data.workers": 0, "device": "cpu", "eval_every": 4}


def run(shop, tiny, out, **kwargs):
    options = {**OPTIONS, "data.data": str(shop), "backbone": tiny, "steps": 8, **kwargs.pop("options", {})}
    return start_run(out, options, **kwargs)


def weights(out):
    return load_file(out / "model.safetensors")


def loss_rows(out):
    with open(out / "log.csv") as file:
        return [row for row in csv.DictReader(file) if row["loss"]]


def same_weights(left, right) -> bool:
    left, right = weights(left), weights(right)
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


@pytest.mark.parametrize("method", list(METHODS))
def test_each_method_trains_and_leaves_a_checkpoint(shop, tiny, tmp_path, method):
    summary = run(shop, tiny, tmp_path / "run", options={"method": method, "steps": 40, "eval_every": 10, "optim.lr": 5e-3})
    rows = loss_rows(tmp_path / "run")
    assert float(rows[-1]["loss"]) < 0.9 * float(rows[0]["loss"])
    model, _, _ = e2.load(tmp_path / "run")
    assert model.tags == (TAGS if METHODS[method].uses_tokens else ())
    assert summary["val_SumR"] == max(entry["SumR"] for entry in summary["history"])
    assert not (tmp_path / "run" / "training").exists()
    assert list((tmp_path / "run" / "tensorboard").iterdir())


@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize("preset", ["default", "paper"])
def test_a_repeated_run_gives_the_same_bits_and_another_seed_does_not(shop, tiny, tmp_path, preset):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        run(shop, tiny, tmp_path / name, options={"preset": preset, "seed": seed, "data.batch_size": 16})
    assert same_weights(tmp_path / "a", tmp_path / "b")
    assert not same_weights(tmp_path / "a", tmp_path / "c")


@pytest.mark.usefixtures("two_threads")
def test_the_number_of_workers_changes_nothing(shop, tiny, tmp_path):
    for name, workers in (("a", 0), ("b", 2)):
        run(shop, tiny, tmp_path / name, options={"data.workers": workers})
    assert same_weights(tmp_path / "a", tmp_path / "b")


def cli(shop, config_dir, out, *extra) -> list[str]:
    code = f"import open_clip; open_clip.add_model_config({str(config_dir)!r}); import cli; cli.main()"
    fixed = ["--data", str(shop), "--tags", ",".join(TAGS), "--backbone", "test-tiny", "--batch-size", "16"]
    steps = ["--steps", "60", "--workers", "0", "--device", "cpu", "--set", "eval_every=20", "--set", "save_every=1"]
    return [sys.executable, "-c", code, "train", "--out", str(out), *fixed, *steps, *extra]


@pytest.fixture
def config_dir(tmp_path):
    folder = tmp_path / "configs"
    folder.mkdir()
    (folder / "test-tiny.json").write_text(json.dumps(TINY))
    return folder


def wait_for_state(out, process, deadline=120.0):
    """Until the run has written a few states."""
    end = time.monotonic() + deadline
    while time.monotonic() < end and process.poll() is None:
        names = sorted(path.name for path in (out / "training").glob("step-*")) if out.exists() else []
        if names and int(names[-1].removeprefix("step-")) >= 3:
            return
        time.sleep(0.005)
    process.kill()  # or it would train to its end
    raise AssertionError(f"no state in time: {process.communicate()}")


def begun(shop, config_dir, out) -> subprocess.Popen:
    """Starts a long run with two workers, in a process group of its own, and waits for its first states."""
    command = cli(shop, config_dir, out, "--set", "data.workers=2", "--set", "steps=4000")
    process = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    wait_for_state(out, process)
    return process


def test_ctrl_c_saves_and_says_how_to_go_on(shop, config_dir, tmp_path):
    process = begun(shop, config_dir, tmp_path / "run")
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does it: workers too
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "--resume" in errors and "Traceback" not in errors
    assert list((tmp_path / "run" / "training").glob("step-*"))


def children(pid: int) -> list[int]:
    tasks = [path.read_text().split() for path in Path(f"/proc/{pid}/task").glob("*/children")]
    return [int(child) for child in sum(tasks, [])]


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="needs /proc to find the workers")
def test_a_scheduler_may_tell_the_workers_first(shop, config_dir, tmp_path):
    """It sends SIGTERM to all processes of a job, in any order, and ``timeout`` passes its own on to all of them."""
    process = begun(shop, config_dir, tmp_path / "run")
    for worker in children(process.pid):
        os.kill(worker, signal.SIGTERM)
    time.sleep(0.5)
    os.killpg(process.pid, signal.SIGTERM)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "--resume" in errors and "died" not in errors
    assert list((tmp_path / "run" / "training").glob("step-*"))


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="needs /proc to find the workers")
def test_a_killed_worker_ends_the_run_in_one_line(shop, config_dir, tmp_path):
    process = begun(shop, config_dir, tmp_path / "run")
    for worker in children(process.pid):
        os.kill(worker, signal.SIGKILL)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "--workers" in errors and "Traceback" not in errors
    assert list((tmp_path / "run" / "training").glob("step-*"))


def test_a_non_finite_loss_stops_with_step_and_parts(shop, tiny, tmp_path):
    from e2.errors import TrainingStopped

    with pytest.raises(TrainingStopped, match=r"not finite at step \d+: global_loss .*region_loss"):
        run(shop, tiny, tmp_path / "run", options={"optim.lr": 1e30, "optim.clip_norm": None, "steps": 30})


def test_early_stop(shop, tiny, tmp_path):
    summary = run(shop, tiny, tmp_path / "run", options={"patience": 2, "eval_every": 1, "steps": 60, "optim.lr": 0.0})
    assert len(summary["history"]) == 3  # the first is the best, two more bring nothing


def test_runs_do_not_meet_in_one_folder(shop, tiny, tmp_path):
    run(shop, tiny, tmp_path / "run")
    before = (tmp_path / "run" / "model.safetensors").read_bytes()
    with pytest.raises(e2.InputError, match="--overwrite"):
        run(shop, tiny, tmp_path / "run")
    assert (tmp_path / "run" / "model.safetensors").read_bytes() == before
    run(shop, tiny, tmp_path / "run", options={"seed": 3}, overwrite=True)
    assert (tmp_path / "run" / "model.safetensors").read_bytes() != before
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("precious")
    with pytest.raises(e2.InputError, match="other files"):
        run(shop, tiny, tmp_path / "mine", overwrite=True)
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "precious"


def test_resume_refuses_other_settings(shop, tiny, tmp_path):
    from e2.errors import TrainingStopped

    broken = {"optim.lr": 1e30, "optim.clip_norm": None, "save_every": 1, "steps": 30}
    with pytest.raises(TrainingStopped):
        run(shop, tiny, tmp_path / "run", options=broken)
    with pytest.raises(e2.InputError, match="seed = 0, not 7"):
        run(shop, tiny, tmp_path / "run", options={**broken, "seed": 7}, resume=True)


def test_a_catalogue_without_val_gives_up_some_train_products(shop, tiny, tmp_path):
    from e2.config import TrainConfig
    from e2.settings import merged
    from e2.training.splits import open_splits

    config = merged(TrainConfig(), {"data": {"data": str(shop / "train.parquet"), "tags": ["colour"]}})
    train_data, val_data = open_splits(config)
    assert len(train_data) == 57 and len(val_data) == 3
    ids = [{product.product_id for product in (split[i] for i in range(len(split)))} for split in (train_data, val_data)]
    assert not ids[0] & ids[1]


@pytest.mark.parametrize(
    ("options", "settings", "message"),
    [
        ({"method": "clap"}, [], "unknown method 'clap'"),
        ({"preset": "prose"}, [], "unknown preset"),
        ({"preset": ["paper"]}, [], "unknown preset"),
        ({"backbone": "e2-huge"}, [], "unknown backbone"),
        ({"data.tags": "maker"}, [], "maker"),
        ({}, ["optim.rate=1"], "optim: unknown setting rate"),
        ({}, ["optim.lr"], "KEY=VALUE"),
        ({}, ["optim.lr=fast"], "'fast' is not"),
        ({"data.augment": "wild"}, [], "unknown augment 'wild'"),
        ({"model.selector": "psychic"}, [], "unknown selector"),
        ({"data.batch_size": 1}, [], "at least 2"),
        ({"data.text": "poem"}, [], "poem"),
        ({"precision": "fp8"}, [], "fp8"),
        ({"device": "abacus"}, [], "abacus"),
    ],
)
def test_wrong_options_are_named_and_leave_nothing_behind(shop, tiny, tmp_path, options, settings, message):
    with pytest.raises(e2.InputError, match=message):
        run(shop, tiny, tmp_path / "run", options=options, settings=settings)
    assert not (tmp_path / "run").exists()


def test_settings_from_a_file_yield_to_the_command_line(tmp_path):
    from e2.training.run import resolve

    file = tmp_path / "config.yaml"
    file.write_text("preset: paper\nseed: 5\noptim: {lr: 3e-4}\n")
    config = resolve({"seed": 6}, file, ["optim.weight_decay=0.5"])
    assert (config.seed, config.optim.lr, config.optim.weight_decay) == (6, 3e-4, 0.5)
    assert config.model.reader == "paper" and config.optim.new_only == 0.2  # from the preset


@pytest.mark.parametrize("name", ["clip-b16-openai", "siglip2-b16"])
def test_recipes_of_public_models_name_weights_that_open_clip_knows(name):
    import open_clip

    from e2.training.run import resolve

    config = resolve({"preset": name, "data.batch_size": 64}, None, [])
    assert (config.backbone, config.pretrained) in open_clip.list_pretrained()
    assert (config.precision, config.data.batch_size, config.data.chunk_size) == ("bf16", 64, 128)


def test_the_schedule_warms_up_and_falls_and_keeps_the_backbone_asleep_first(model):
    config = OptimConfig(lr=1.0, new_lr=2.0, warmup=0.1, new_only=0.5)
    optimizer = make_optimizer(model, config, pretrained=True)
    factors = [rate_factor(step, 100, config.warmup, config.final_lr) for step in range(100)]
    assert factors[0] == 0.1 and max(factors) == 1.0 == factors[10] and factors[99] < 0.001
    set_rates(optimizer, 30, 100, config)
    rates = {group["age"]: group["lr"] for group in optimizer.param_groups}
    assert rates["old"] == 0 and rates["new"] == pytest.approx(2 * factors[30])
    set_rates(optimizer, 60, 100, config)
    assert {group["age"]: group["lr"] for group in optimizer.param_groups}["old"] == pytest.approx(factors[60])


def test_a_scheduled_temperature_rises_linearly_and_is_not_learnt(shop, tiny, tmp_path):
    options = {"method": "clip", "steps": 4, "eval_every": 1}
    run(shop, tiny, tmp_path / "run", options=options, settings=["loss.temperature=[0.02, 0.05]"])
    scales = [float(row["logit_scale"]) for row in loss_rows(tmp_path / "run")]
    assert scales[-1] == pytest.approx(1 / 0.05, rel=1e-4)  # of the last step
    best = json.loads((tmp_path / "run" / "summary.json").read_text())["step"]  # the first was taken at 0.02
    expected = -math.log(0.02 + 0.03 * (best - 1) / 3)
    assert weights(tmp_path / "run")["logit_scale"].item() == pytest.approx(expected, abs=1e-5)


def test_every_parameter_is_in_one_group_and_only_matrices_decay(model):
    optimizer = make_optimizer(model, OptimConfig(weight_decay=0.3), pretrained=False)
    listed = [p for group in optimizer.param_groups for p in group["params"]]
    assert len(listed) == len({id(p) for p in listed}) == len(list(model.parameters()))
    decayed = {id(p) for group in optimizer.param_groups if group["weight_decay"] for p in group["params"]}
    assert id(model.reader.fusions["3"].query.weight) in decayed
    for flat in (model.logit_scale, model.reader.tokens, model.reader.gates["3"], model.visual.ln_post.weight):
        assert id(flat) not in decayed


def test_frozen_towers_do_not_learn(shop, tiny, tmp_path):
    torch.manual_seed(0)
    run(shop, tiny, tmp_path / "run", options={"optim.image_layers": 0, "optim.text_layers": 0, "optim.lr": 1e-2})
    trained, start = e2.load(tmp_path / "run")[0], weights(tmp_path / "run")
    torch.manual_seed(0)
    fresh = e2.create_model_and_transforms(tiny, tags=TAGS)[0]
    for name, value in fresh.clip.state_dict().items():
        if name != "logit_scale":
            assert torch.equal(start[name], value), name
    assert not torch.equal(trained.reader.tokens, fresh.reader.tokens)


def test_the_description_itself_may_be_an_entity(shop, tiny, tmp_path):
    run(shop, tiny, tmp_path / "run", options={"data.tags": "brand,description"})
    model = e2.load(tmp_path / "run")[0]
    assert model.tags == ("brand", "description")


def test_a_finished_run_compares_the_options_before_it_answers(shop, tiny, tmp_path):
    summary = run(shop, tiny, tmp_path / "run")
    assert run(shop, tiny, tmp_path / "run", resume=True) == summary
    assert run(shop, tiny, tmp_path / "run", options={"data.workers": 1}, resume=True) == summary
    with pytest.raises(e2.InputError, match="steps = 8, not 16"):
        run(shop, tiny, tmp_path / "run", options={"steps": 16}, resume=True)


def test_a_run_killed_after_its_early_stop_does_not_train_on(shop, tiny, tmp_path, monkeypatch):
    options = {"patience": 2, "eval_every": 1, "steps": 60, "optim.lr": 0.0}
    with monkeypatch.context() as patch:
        patch.setattr("e2.training.run.weights_sha256", lambda out: 1 / 0)  # as if killed between early stop and summary
        with pytest.raises(ZeroDivisionError):
            run(shop, tiny, tmp_path / "run", options=options)
    assert not (tmp_path / "run" / "summary.json").exists()
    summary = run(shop, tiny, tmp_path / "run", options=options, resume=True)
    assert [entry["step"] for entry in summary["history"]] == [1, 2, 3]


def test_training_in_another_thread(shop, tiny, tmp_path):
    """Where no signal handler can be set."""
    found = []
    thread = threading.Thread(target=lambda: found.append(run(shop, tiny, tmp_path / "run")))
    thread.start()
    thread.join()
    assert found and found[0]["history"]


def test_two_runs_into_one_folder_at_once(shop, tiny, tmp_path):
    with locked(tmp_path / "run"):
        with pytest.raises(e2.InputError, match="another run is writing to .*run; wait"):
            run(shop, tiny, tmp_path / "run")
        assert not (tmp_path / "run").exists()
    run(shop, tiny, tmp_path / "run")

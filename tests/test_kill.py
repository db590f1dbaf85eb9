"""Runs killed at any moment: nothing that was there is lost, and what is resumed ends bit for bit as if nothing had been."""

import json
import os
import random
import subprocess
import sys

import pytest

from tests.conftest import TAGS, TINY
from tests.shared import ROOT

INSIDE = [  # (module, function, which call, how far it gets): the writes of a run, in some order
    ("os", "replace", 1, "before"),  # its very first file
    ("e2.training.state", "save_file", 3, "half"),
    ("e2.checkpoint", "save_file", 1, "half"),
    ("os", "replace", 6, "before"),
    ("os", "replace", 5, "after"),
    ("shutil", "rmtree", 4, "half"),  # an older state on its way out
    ("e2.training.runlog", "drop_rows_after", 1, "after"),
]
AT_THE_END = [("e2.training.run", "weights_sha256", 1, "before"), ("shutil", "rmtree", 1, "half")]


def killed(tmp_path, shop, kills: list[dict], steps: int) -> dict:
    """What the worker found."""
    configs = tmp_path / "configs"
    configs.mkdir()
    (configs / "test-tiny.json").write_text(json.dumps(TINY))
    data = {"data.data": str(shop), "data.tags": ",".join(TAGS), "data.batch_size": 8, "data.workers": 0}
    options = {
        **data,
        "backbone": "test-tiny",
        "steps": 30,
        "device": "cpu",
        "eval_every": 3,
        "save_every": 1,
        "optim.lr": 1e-3,
    }
    plan = {"folder": str(tmp_path), "configs": str(configs), "options": options, "kills": kills}
    (tmp_path / "plan.json").write_text(json.dumps(plan))
    command = [sys.executable, "-m", "tests.kill_worker", str(tmp_path / "plan.json")]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "E2_CACHE": str(tmp_path / "cache")}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    if done.returncode:
        pytest.fail(done.stderr[-3000:])
    return json.loads(done.stdout.splitlines()[-1])


def inside(kills) -> list[dict]:
    return [{"inside": kill} for kill in kills]


def test_a_few_kills(shop, tmp_path):
    """At the first file, at some moment, inside a write, before the summary, and while the state is being removed."""
    moment = {"at": random.Random(5).uniform(0.3, 0.6)}
    found = killed(tmp_path, shop, [*inside(INSIDE[:1]), moment, *inside([INSIDE[1], *AT_THE_END])], steps=12)
    assert found["kills"] == 5 and found["inside"] == 4 and found["ended"] >= 1
    assert max(found["steps"]) > 0


@pytest.mark.slow
def test_twenty_kills_at_random_moments(shop, tmp_path):
    chance = random.Random(0)
    moments = [{"at": chance.uniform(0, 1)} for _ in range(20 - len(INSIDE) - len(AT_THE_END))]
    kills = [*inside(INSIDE[1:]), *moments]
    chance.shuffle(kills)
    found = killed(tmp_path, shop, [*inside(INSIDE[:1]), *kills, *inside(AT_THE_END)], steps=30)
    assert found["kills"] == 20 and found["inside"] == len(INSIDE) + len(AT_THE_END) and found["ended"] >= 1
    assert len(set(found["steps"])) > 5

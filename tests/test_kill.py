"""Runs killed at any moment: nothing that was there is lost, and what is resumed ends bit for bit as if nothing had been."""

import json
import os
import random
import subprocess
import sys

import pytest

from tests.conftest import TAGS, TINY
from tests.shared import ROOT

FIRST = ("os", "replace", 1, "before")  # a kill inside: module, function, which call, how far it gets
STATE = ("e2.training.state", "save_file", 3, "half")
BEST = ("e2.checkpoint", "save_file", 2, "half")  # the earlier best weights are there
INSIDE = [  # further writes of a run, in some order
    STATE,
    ("e2.checkpoint", "save_file", 1, "half"),
    ("os", "replace", 6, "before"),
    ("os", "replace", 5, "after"),
    ("shutil", "rmtree", 4, "half"),  # an older state on its way out
    ("e2.training.runlog", "drop_rows_after", 1, "after"),
]
AT_THE_END = [("e2.training.run", "weights_sha256", 1, "before"), ("shutil", "rmtree", 1, "half")]


def killed(tmp_path, shop, kills: list[dict], threads: int = 1, **options: float) -> dict:
    """What the worker found."""
    configs = tmp_path / "configs"
    configs.mkdir()
    (configs / "test-tiny.json").write_text(json.dumps(TINY))
    data = {"data.data": str(shop), "data.tags": ",".join(TAGS), "data.batch_size": 8, "data.workers": 0}
    fixed = {"backbone": "test-tiny", "device": "cpu", "save_every": 1}
    plan = {"folder": str(tmp_path), "configs": str(configs), "options": {**data, **fixed, **options}, "kills": kills}
    (tmp_path / "plan.json").write_text(json.dumps(plan))
    command = [sys.executable, "-m", "tests.kill_worker", str(tmp_path / "plan.json")]
    passive = {"OMP_WAIT_POLICY": "passive"}  # threads that wait for one another leave the cores to other programs
    environment = {**os.environ, **passive, "OMP_NUM_THREADS": str(threads), "E2_CACHE": str(tmp_path / "cache")}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    if done.returncode:
        pytest.fail(done.stderr[-3000:])
    return json.loads(done.stdout.splitlines()[-1])


def inside(kills) -> list[dict]:
    return [{"inside": kill} for kill in kills]


def test_a_few_kills(shop, tmp_path):
    """At the first file, inside writes, at some moment, before the summary, and while the state is being removed."""
    moment = {"at": random.Random(5).uniform(0.3, 0.6)}
    kills = [*inside([FIRST, BEST, STATE]), moment, *inside(AT_THE_END)]
    found = killed(tmp_path, shop, kills, **{"steps": 12, "eval_every": 2, "optim.lr": 5e-3})
    assert found["kills"] == 6 and found["inside"] == 5 and found["ended"] >= 1
    assert max(found["steps"]) > 0


@pytest.mark.slow
def test_twenty_kills_at_random_moments_with_two_threads(shop, tmp_path):
    chance = random.Random(0)
    moments = [{"at": chance.uniform(0, 1)} for _ in range(19 - len(INSIDE) - len(AT_THE_END))]
    kills = [*inside(INSIDE), *moments]
    chance.shuffle(kills)
    kills = [*inside([FIRST]), *kills, *inside(AT_THE_END)]
    found = killed(tmp_path, shop, kills, threads=2, **{"steps": 10, "eval_every": 5, "optim.lr": 1e-3})
    assert found["kills"] == 20 and found["inside"] == 1 + len(INSIDE) + len(AT_THE_END) and found["ended"] >= 1
    assert len(set(found["steps"])) > 5

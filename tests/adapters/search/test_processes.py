"""Several real processes on one index: writers that die, readers, builds that replace it."""

import json
import re
import subprocess
import sys

import pytest

from tests.shared import ROOT


def test_writers_that_die_and_readers_share_an_index(tmp_path):
    command = [sys.executable, "-m", "tests.adapters.search.index_worker", str(tmp_path / "index"), "0"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        pytest.fail(done.stderr[-3000:])
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["killed"] == 6 and found["recall"] > 0.99 and found["complete"]
    names = [re.split(r"-\d", name)[0] for name in found["files"]]
    assert names == [".e2-files", "clusters", "index.json", "products.sqlite", "vectors"], found

"""A real Milvus server whose clients die, and which dies itself, ends with what the folder engine holds.

``$E2_MILVUS`` names the server, as in ``http://HOST:PORT``; ``$E2_MILVUS_KILL`` is a command that kills it with SIGKILL, after
which something starts it again. Without them nothing of this runs.
"""

import os
import secrets
import signal
import subprocess
import sys
import time

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from e2.adapters.search import build
from e2.adapters.search.engines import resume_store
from e2.adapters.search.index import open_index
from e2.errors import InputError
from tests.adapters.search.conftest import removed
from tests.adapters.search.milvus_worker import BLOCK, act
from tests.conftest import jpeg
from tests.shared import ROOT

FILTERS = (None, 'colour == "red"', 'brand == "Levi\'s" or not season == "Winter"', 'brand == ""')
CLIENT = [  # action, and the call of the server before which the kill comes
    *(("build", call) for call in (3, 9, 16, 24, 33, 44)),
    *(("overwrite", call) for call in (16, 35, 36)),
    *(("update", call) for call in (8, 12)),
    *(("delete", call) for call in (7, 8)),
]
SERVER = [*(("build", call) for call in (4, 11, 19, 27, 42)), ("overwrite", 24), ("update", 8)]


@pytest.fixture
def milvus():
    if not (uri := os.environ.get("E2_MILVUS")):
        pytest.skip("set E2_MILVUS to the address of a Milvus server")
    yield (place := f"{uri}/kill_{secrets.token_hex(4)}")
    removed(place)


@pytest.fixture
def news(shop, tmp_path):
    """Half of the products, some of them changed, and a new one."""
    rows = pq.read_table(shop / "train.parquet").slice(0, 30).to_pylist()
    for number in range(0, 30, 2):
        rows[number] |= {"caption": f"other words {number}", "image": {"bytes": jpeg((250, 9 * number, 0), 1), "path": None}}
    rows[3]["product_id"] = "new"
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "news.parquet")
    return str(tmp_path / "news.parquet")


def told(place):
    """All that an index tells of its products."""
    index = open_index(place)
    queries = np.random.default_rng(0).standard_normal((3, 3))
    found = [{hit.product_id: hit for hit in hits} for where in FILTERS for hits in index.search(queries, 99, where)]
    words = [{name: (hit.caption, hit.tags) for name, hit in hits.items()} for hits in found]
    scores = [[hits[name].score for name in sorted(hits)] for hits in found]
    facets = [index.facets(where) for where in FILTERS]
    pictures = [index.thumbnail(name) for name in sorted(found[0])]
    whole = (len(index), index.manifest.complete, words, facets, pictures)
    index.close()
    return whole, np.concatenate(scores)


def wait(place):
    """Until the server answers again."""
    end = time.monotonic() + 180
    while True:
        try:
            if store := resume_store(place):
                store.close()
            return
        except InputError:
            if time.monotonic() > end:
                raise
            time.sleep(1)


@pytest.mark.parametrize(
    ("who", "action", "call"),
    [*(("client", *each) for each in CLIENT), *(("server", *each) for each in SERVER)],
)
def test_what_is_killed_goes_on(milvus, shop, news, tmp_path, monkeypatch, who, action, call):
    command = [os.environ.get("E2_MILVUS_KILL", "")] if who == "server" else []
    if command == [""]:
        pytest.skip("set E2_MILVUS_KILL to a command that kills the server, which is started again")
    monkeypatch.setattr(build, "BLOCK", BLOCK)
    train, folder = str(shop / "train.parquet"), str(tmp_path / "index")
    table = news if action in ("update", "overwrite") else train
    for place in (folder, milvus):
        if action != "build":
            act(place, train, "build")
    act(folder, table, action)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    worker = [sys.executable, "-m", "tests.adapters.search.milvus_worker", milvus, table, action, str(call), *command]
    done = subprocess.run(worker, cwd=ROOT, env=environment, capture_output=True, text=True)
    if who == "client":
        assert done.returncode == -signal.SIGKILL, done.stderr[-2000:]
    elif done.returncode:
        assert "continues with --resume" in done.stderr, done.stderr[-2000:]
    wait(milvus)
    if done.returncode:
        act(milvus, table, "resume" if action in ("build", "overwrite") else action)
    (found, scores), (expected, exact) = told(milvus), told(folder)
    assert found == expected
    assert np.allclose(scores, exact, atol=1e-5)

"""The example of embedding by Ray Data runs as it stands in the documentation, and gives the vectors of `e2 embed`."""

import json
import shutil
from pathlib import Path

import numpy as np
import open_clip
import pyarrow.parquet as pq
import pytest

import e2
from tests.command import run_command
from tests.conftest import TAGS, TINY
from tests.docs.blocks import DOCS, blocks

ray = pytest.importorskip("ray", reason="ray is not installed")
pytest.importorskip("ray.data", reason="what Ray Data needs is not installed")


@pytest.fixture
def engine(tmp_path):
    """Ray with room for two encoders beside its own tasks, and workers that know the tiny backbone."""
    config = tmp_path / "test-tiny.json"
    config.write_text(json.dumps(TINY))
    started = {"num_cpus": 4, "object_store_memory": 100 * 2**20, "include_dashboard": False, "log_to_driver": False}
    ray.init(**started, runtime_env={"worker_process_setup_hook": lambda: open_clip.add_model_config(config)})
    yield
    ray.shutdown()


def test_ray_data_gives_the_vectors_of_e2_embed(engine, tiny, shop, tmp_path, monkeypatch):
    shutil.copytree(shop, tmp_path / "catalogue")
    shutil.copy(shop / "train.parquet", tmp_path / "catalogue" / "test.parquet")
    e2.create_model_and_transforms(tiny, tags=TAGS)[0].save_pretrained(tmp_path / "runs" / "mine")
    monkeypatch.chdir(tmp_path)
    (example,) = blocks(DOCS / "scaling.md", "python")
    exec(compile(example.text.replace("batch_size=256", "batch_size=16"), "scaling.md", "exec"), {"__name__": "example"})
    answer = run_command("embed", "--model", "runs/mine", "--data", "catalogue", "--split", "test", "--out", "e.parquet")
    assert answer.status == 0, answer
    found = {row["product_id"]: row for row in pq.read_table(Path("vectors")).to_pylist()}
    expected = pq.read_table("e.parquet").to_pylist()
    assert len(found) == 60 and len(expected) == 120
    for row in expected:
        np.testing.assert_allclose(found[row["product_id"]][row["kind"]], row["vector"], atol=1e-6)

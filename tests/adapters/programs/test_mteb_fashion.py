"""MTEB's fashion tasks by one command, on a small copy of a data set's layout."""

import json

import numpy as np
import pandas as pd
import pytest
from typer import Typer
from typer.testing import CliRunner

pytest.importorskip("mteb")
from e2.adapters.programs.mteb_fashion import TASKS, fashion_tasks, main
from e2.errors import InputError
from tests.adapters.export.conftest import encoder_of, made_checkpoint
from tests.adapters.programs.test_programs import COLOURS
from tests.conftest import TAGS, jpeg

LAYOUT = """---
configs:
- {config_name: corpus, data_files: [{split: test, path: corpus.parquet}]}
- {config_name: queries, data_files: [{split: test, path: queries.parquet}]}
- {config_name: qrels, data_files: [{split: test, path: qrels.parquet}]}
dataset_info:
- {config_name: queries, features: [{name: id, dtype: string}, {name: text, dtype: string}, {name: image, dtype: image}]}
---
"""


@pytest.fixture
def copy(tmp_path):
    """Photos of four colours, and their names, in the layout of Fashion200k on the hub."""
    folder = tmp_path / "data" / "mteb" / "mbeir_fashion200k_task3"
    folder.mkdir(parents=True)
    (folder / "README.md").write_text(LAYOUT)
    photos = [
        {"id": f"q{n}", "text": "", "image": {"bytes": jpeg(rgb, n), "path": None}} for n, rgb in enumerate(COLOURS.values())
    ]
    texts = [{"id": f"d{n}", "text": f"a {name} tee", "image": None} for n, name in enumerate(COLOURS)]
    right = [{"query-id": f"q{n}", "corpus-id": f"d{n}", "score": 1} for n in range(len(COLOURS))]
    for name, rows in (("queries", photos), ("corpus", texts), ("qrels", right)):
        pd.DataFrame(rows).to_parquet(folder / f"{name}.parquet")
    return tmp_path / "data"


def call(*words):
    app = Typer()
    app.command()(main)
    return CliRunner().invoke(app, [str(word) for word in words])


def test_a_task_by_one_command(tiny, tmp_path, copy, monkeypatch):
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    model = made_checkpoint(tmp_path / "fine", tiny, TAGS, "e2")
    line = ("--model", model, "--task", TASKS[0], "--data", copy, "--out", tmp_path / "out", "--device", "cpu")
    done = call(*line)
    assert done.exit_code == 0, (done.output, done.exception)
    encoder = encoder_of(model)
    photos = encoder.encode_images([jpeg(rgb, n) for n, rgb in enumerate(COLOURS.values())])
    scores = photos @ encoder.encode_texts([f"a {name} tee" for name in COLOURS]).T
    ranks = (scores > scores.diagonal()[:, None]).sum(axis=1)
    ndcg = float(np.mean(1 / np.log2(ranks + 2)))
    assert f"{TASKS[0]}: {100 * ndcg:.2f} ndcg_at_10" in done.output
    (written,) = (tmp_path / "out").rglob(f"{TASKS[0]}.json")
    assert json.loads(written.read_text())["scores"]["test"][0]["main_score"] == pytest.approx(ndcg, abs=1e-4)


def test_mistakes_are_one_line(tmp_path):
    assert [task.metadata.name for task in fashion_tasks(list(TASKS))] == list(TASKS)
    with pytest.raises(InputError, match="no such fashion task; choose Fashion200kI2TRetrieval"):
        fashion_tasks(["ImageNet"])
    told = call("--model", "x", "--task", TASKS[0], "--data", tmp_path, "--out", tmp_path / "out")
    assert told.exit_code == 2 and "copy the data set there" in told.output

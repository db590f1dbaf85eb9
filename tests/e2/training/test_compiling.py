"""Training with compiled blocks: the same weights, under the same names."""

import shutil

import pytest
import torch

from e2.checkpoint import LAST, WEIGHTS
from e2.errors import TrainingStopped
from e2.training import compiling
from tests.command import run_command
from tests.e2.training.stops import pull_out
from tests.e2.training.test_memory import step
from tests.e2.training.test_runs import run, same


@pytest.fixture
def graphs(monkeypatch):
    """The graphs that are compiled, which run as they are: making code of them takes minutes."""
    found: list = []
    monkeypatch.setattr(compiling, "OPTIONS", {"backend": lambda graph, inputs: found.append(graph) or graph.forward})
    torch._dynamo.reset()
    yield found
    torch._dynamo.reset()


def test_a_compiled_run_resumes_and_ends_with_the_same_weights(shop, tiny, tmp_path, graphs):
    options = {"steps": 4, "save_every": 2, "method": "clip", "data.chunk_size": 8, "checkpointing": True}
    options |= {"optim.image_layers": 2, "data.cache": str(tmp_path / "cache")}
    run(shop, tiny, tmp_path / "plain", **options)
    with pytest.MonkeyPatch.context() as patch, pytest.raises(TrainingStopped, match="pulled out"):
        pull_out(patch, before=3)
        run(shop, tiny, tmp_path / "compiled", compile=True, **options)
    run(shop, tiny, tmp_path / "compiled", resume=True, compile=True, **options)
    assert len(graphs) == 2  # for all blocks, with and without gradients; none of validation or the cache
    for file in (LAST, WEIGHTS):
        assert same(tmp_path / "plain" / file, tmp_path / "compiled" / file)


def test_without_a_compiler_it_is_refused(shop, tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    line = f"train --data {shop} --backbone test-tiny --method clip --device cpu --set compile=true --dry-run --out"
    answer = run_command(*line.split(), tmp_path / "run")
    assert answer.status == 2 and "needs a C++ compiler" in answer.line


@pytest.mark.slow
def test_generated_code_gives_the_same_gradients(shop, tiny, tmp_path):
    if not any(map(shutil.which, compiling.COMPILERS)):
        pytest.skip("there is no C++ compiler")
    torch._dynamo.reset()
    plain, _ = step(shop, tiny, tmp_path, method="e2")
    compiled, _ = step(shop, tiny, tmp_path, method="e2", compile=True)
    for name, gradient in plain.items():  # single elements differ by rounding, more on some processors
        assert (compiled[name] - gradient).norm() <= 1e-4 * gradient.norm() + 1e-6, name

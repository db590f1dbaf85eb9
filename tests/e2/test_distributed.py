"""Two processes, started by ``accelerate launch``, give what one gives with the whole batch; nothing is dropped or doubled."""

import json
import os
import socket
import subprocess
import sys

import open_clip
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file

from e2.distributed import processes
from e2.errors import InputError
from tests.command import run_command
from tests.conftest import TINY
from tests.e2.distributed_worker import CASES, SIGMOID, work
from tests.shared import ROOT


@pytest.fixture(scope="module")
def config_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("configs")
    (folder / "test-tiny.json").write_text(json.dumps(TINY))
    (folder / "test-sigmoid.json").write_text(json.dumps({**TINY, "init_logit_bias": -10}))
    return folder


def free_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


@pytest.fixture(scope="module")
def alone(config_dir, shop, tmp_path_factory):
    open_clip.add_model_config(config_dir)
    out = tmp_path_factory.mktemp("alone")
    work(shop, out)
    return out


def launched(*module_and_arguments: object, processes: int = 2) -> str:
    """Runs a module by ``accelerate launch`` in some processes on the CPU, as a user would; returns what they print.

    ``--multi_gpu`` means several processes, wherever they compute; with ``--cpu`` accelerate starts one.
    """
    start = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", str(processes)]
    usual = ["--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", free_port()]
    process = subprocess.Popen(
        [*start, *usual, "-m", *map(str, module_and_arguments)],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        output = process.communicate(timeout=540)[0]
    finally:
        process.terminate()  # asked so, the launcher ends the two as well, which a kill would leave running
        process.wait(timeout=60)
    assert process.returncode == 0, output[-4000:]
    return output


@pytest.fixture(scope="module")
def together(config_dir, shop, tmp_path_factory):
    out = tmp_path_factory.mktemp("together")
    launched("tests.e2.distributed_worker", config_dir, shop, out)
    return out


def assert_same_gradients(left, right):
    assert left.keys() == right.keys()
    size = torch.sqrt(sum((tensor**2).sum() for name, tensor in left.items() if not name.startswith("loss/")))
    assert size > 0.1
    for name, tensor in left.items():
        assert (tensor - right[name]).norm() <= 3e-6 * size, name


def assert_same_run(*runs):
    left, right = (load_file(run / "model.safetensors") for run in runs)
    assert left.keys() == right.keys()
    for name in left:
        torch.testing.assert_close(left[name], right[name], rtol=0, atol=2e-6)
    left, right = (json.loads((run / "summary.json").read_text())["history"] for run in runs)
    assert left == right


@pytest.mark.parametrize(("method", "chunk"), CASES)
def test_two_processes_find_the_gradients_of_the_whole_batch(alone, together, method, chunk):
    name = f"gradients-{method}-{chunk}.safetensors"
    assert_same_gradients(load_file(alone / name), load_file(together / name))


@pytest.mark.parametrize(("method", "chunk"), SIGMOID)
def test_sigmoid_losses_of_two_processes_have_the_gradients_of_the_whole_batch(alone, together, method, chunk):
    """``clip``, ``e2`` and ``multifield`` by texts that go round, the others by gathered ones."""
    name = f"gradients-sigmoid-{method}-{chunk}.safetensors"
    assert_same_gradients(load_file(alone / name), load_file(together / name))


def test_gradients_in_bf16_are_averaged_as_they_are(alone, together):
    whole, averaged = (load_file(folder / "gradients-half.safetensors") for folder in (alone, together))
    assert {tensor.dtype for tensor in averaged.values()} == {torch.bfloat16, torch.float32}
    size = torch.sqrt(sum((tensor.float() ** 2).sum() for tensor in whole.values()))
    assert all((tensor.float() - averaged[name].float()).norm() < 0.01 * size for name, tensor in whole.items())


@pytest.mark.slow
def test_four_processes_find_the_gradients_of_the_whole_batch(alone, config_dir, shop, tmp_path):
    """Shares of 11 products differ: three processes get 3, the last 2."""
    launched("tests.e2.distributed_worker", config_dir, shop, tmp_path, "gradients", processes=4)
    names = [f"gradients-{method}-{chunk}.safetensors" for method, chunk in CASES]
    for name in [*names, *(f"gradients-sigmoid-{method}-{chunk}.safetensors" for method, chunk in SIGMOID)]:
        assert_same_gradients(load_file(alone / name), load_file(tmp_path / name))


def test_sharded_weights_find_the_same_gradients(alone, together):
    whole, sharded = load_file(alone / "gradients-e2-None.safetensors"), load_file(together / "gradients-sharded.safetensors")
    norm = sharded.pop("norm")
    assert_same_gradients(whole, sharded)
    size = torch.sqrt(sum((tensor**2).sum() for name, tensor in whole.items() if not name.startswith("loss/")))
    assert norm.item() == pytest.approx(size.item(), rel=1e-5)


def test_a_run_of_two_processes_ends_with_the_same_weights(alone, together):
    assert_same_run(alone / "run", together / "run")


@pytest.mark.slow
def test_the_train_command_of_two_processes_ends_with_the_same_weights(shop, tmp_path):
    """`accelerate launch e2 train`, the whole way: 11 products a step, of which one process takes 6 and the other 5."""
    line = (
        f"train --data {shop} --tags brand,season,colour --backbone e2-nano --device cpu --workers 0 --batch-size 11 --steps 5"
    )
    line += " --set eval_every=5 --set optim.lr=1e-4"
    assert run_command(*line.split(), "--out", tmp_path / "alone").status == 0
    printed = launched("cli", *line.split(), "--out", tmp_path / "together")
    assert printed.count("checkpoint in") == 1  # the main process talks
    assert_same_run(tmp_path / "alone", tmp_path / "together")


@pytest.mark.parametrize("place", ["vectors", "vectors.parquet"])
def test_no_product_is_dropped_or_doubled_in_the_embeddings(alone, together, place):
    left, right = (pq.read_table(out / place) for out in (alone, together))
    assert len(left) == 60 * 5  # a photo, a text and three regions each
    names = list(zip(*(right[column].to_pylist() for column in ("product_id", "kind", "index", "entity")), strict=True))
    assert len(set(names)) == len(names)
    for column in ("product_id", "kind", "index", "entity"):
        assert left[column].to_pylist() == right[column].to_pylist()
    vectors = [torch.tensor(table["vector"].to_pylist()) for table in (left, right)]
    torch.testing.assert_close(*vectors, rtol=0, atol=1e-5)


def test_the_evaluation_is_that_of_one_process(alone, together):
    left, right = (json.loads((out / "retrieval" / "metrics.json").read_text()) for out in (alone, together))
    assert left["metrics"] == right["metrics"] and left["n_images"] == right["n_images"]


def test_fewer_products_than_processes_leave_the_features_whole(monkeypatch):
    """Without a second process: the arithmetic of shares, for every world up to 5."""
    from e2 import distributed

    for world in range(1, 6):
        for total in range(1, 12):
            shares = []
            for rank in range(world):
                state = type("State", (), {"num_processes": world, "process_index": rank})
                monkeypatch.setattr(distributed, "processes", lambda state=state: state)
                shares.append(list(distributed.shared_batches(total, 2)))
            done = 0
            for batch in range(len(shares[0])):
                size = shares[0][batch][1]
                counts = [len(range(rank, size, world)) for rank in range(world)]
                padded = [
                    torch.tensor([*own[batch][0]][:count] + [-1] * (max(counts) - count))
                    for own, count in zip(shares, counts, strict=True)
                ]
                rows = distributed.interleaved(torch.cat(padded), counts)
                assert rows.tolist() == list(range(done, done + size))
                done += size
            assert done == total


@pytest.fixture
def started(monkeypatch):
    """Four processes that are not connected yet, this one of them, and how accelerate is asked to."""
    asked = []

    class State:
        _shared_state: dict = {}

        def __init__(self, cpu: bool = False):
            asked.append(cpu)

    monkeypatch.setattr("e2.distributed.PartialState", State)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    return asked


@pytest.mark.parametrize("gpus, on_cpu, cpu", [(0, False, True), (0, True, True), (1, True, True), (4, False, False)])
def test_several_processes_work_together_on_gpus_or_else_on_the_cpu(started, monkeypatch, gpus, on_cpu, cpu):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    processes(on_cpu=on_cpu)
    assert started == [cpu]


def test_more_processes_than_gpus_are_refused_in_one_line(started, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setenv("LOCAL_RANK", "0")
    with pytest.raises(InputError, match="4 processes were started on 1 GPU; start no more than that, or choose --device cpu"):
        processes()
    monkeypatch.setenv("LOCAL_RANK", "2")
    with pytest.raises(SystemExit) as leave:
        processes()
    assert leave.value.code == 2 and not started

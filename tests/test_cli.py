"""The commands as a user meets them: what they print, where they write, how they fail."""

import json
import signal
import subprocess
import sys
from multiprocessing import Pipe
from unittest.mock import Mock

import pytest
from typer.core import TyperCommand

from e2 import cli, commands
from e2.errors import TrainingStopped
from e2.interrupts import imports_end_silently
from e2.version import __version__
from tests.command import every_command, names_in, run_command

TAGS = "brand,season,colour"


@pytest.fixture
def e2(monkeypatch, capsys):
    """Runs a command line; returns (exit status, stdout, stderr)."""

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["e2", *map(str, arguments)])
        try:
            cli.main()
            status = 0
        except SystemExit as leave:
            status = leave.code or 0
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return run


@pytest.fixture(scope="module")
def trained(shop, tiny, tmp_path_factory):
    """Two short runs: clip and e2."""
    from e2.training.run import start_run

    out = tmp_path_factory.mktemp("runs")
    for method in ("clip", "e2"):
        options = {"data.data": str(shop), "data.tags": TAGS, "backbone": tiny, "steps": 4, "data.batch_size": 16}
        start_run(out / method, {**options, "method": method, "data.workers": 0, "device": "cpu"})
    return out


def test_train_says_where_it_wrote(e2, shop, tiny, tmp_path):
    out = tmp_path / "run"
    arguments = ("--data", shop, "--tags", TAGS, "--backbone", tiny, "--steps", "3", "--batch-size", "16", "--workers", "0")
    status, stdout, _ = e2("train", *arguments, "--out", out)
    assert status == 0 and str(out) in stdout
    assert names_in(out) == [
        "config.json",
        "last.safetensors",
        "log.csv",
        "model.safetensors",
        "summary.json",
        "tensorboard",
    ]
    status, stdout, _ = e2("train", *arguments, "--out", out, "--overwrite", "--json")
    assert status == 0 and json.loads(stdout)["step"] == 3


def test_evaluate_one_model(e2, shop, trained, tmp_path):
    status, stdout, _ = e2(
        "evaluate", "retrieval", "--model", trained / "e2", "--data", shop, "--split", "val", "--out", tmp_path, "--json"
    )
    assert status == 0
    written = json.loads((tmp_path / "metrics.json").read_text())
    assert json.loads(stdout)["results"] == [written]
    assert written["protocol"] == "full" and written["n"] == 12 and written["split"] == "val"
    assert 0 <= written["metrics"]["image_to_text_R@1"] <= written["metrics"]["image_to_text_R@10"] <= 100
    low, high = written["ci95"]["SumR"]
    assert low <= written["metrics"]["SumR"] <= high
    assert len(written["model"]["weights_sha256"]) == 64 and written["model"]["method"] == "e2"


def test_evaluate_side_by_side_with_a_plain_model(e2, shop, trained, tiny):
    models = ("--model", trained / "clip", "--model", trained / "e2", "--model", f"open_clip:{tiny}")
    status, stdout, _ = e2("evaluate", "retrieval", *models, "--data", shop, "--split", "val", "--text", "full")
    assert status == 0 and "SumR" in stdout
    status, stdout, _ = e2("evaluate", "retrieval", *models, "--data", shop, "--split", "val", "--json")
    assert len(json.loads(stdout)["differences"]) == 3


def test_embed_writes_vectors_with_ids(e2, shop, trained, tmp_path):
    import pyarrow.parquet as pq

    out = tmp_path / "vectors.parquet"
    status, stdout, _ = e2("embed", "--model", trained / "e2", "--data", shop, "--split", "val", "--out", out)
    assert status == 0 and str(out) in stdout
    table = pq.read_table(out)
    assert table.num_rows == 24  # a photo and a text each
    assert set(table.column("product_id").to_pylist()) == {f"val-{i}" for i in range(12)}
    assert all(abs(sum(x * x for x in vector) - 1) < 1e-4 for vector in table.column("vector").to_pylist())


def test_data_info(e2, shop, tmp_path):
    status, stdout, _ = e2("data", "info", shop, "--tags", TAGS, "--out", tmp_path)
    assert status == 0 and "Nike" in stdout
    assert {"info.json", "tags.png", "contact_sheet.png"} <= {p.name for p in tmp_path.iterdir()}


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("train", "--data", "missing.parquet", "--out", "OUT"), "missing.parquet"),
        (("train", "--data", "SHOP", "--tags", "maker", "--out", "OUT"), "maker"),
        (("train", "--data", "SHOP", "--out", "OUT"), "--tags"),
        (("evaluate", "captioning", "--data", "SHOP", "--out", "OUT"), "give --captioner, --captions"),
        (("train", "--data", "SHOP", "--tags", "brand", "--caption-column", "words", "--out", "OUT"), "words"),
        (("train", "--data", "SHOP", "--tags", "brand", "--config", "nowhere.yaml", "--out", "OUT"), "nowhere.yaml"),
        (("train", "--data", "SHOP", "--tags", "brand", "--device", "cuda", "--out", "OUT"), "cuda"),
        (("evaluate", "retrieval", "--model", "nowhere", "--data", "SHOP", "--split", "val"), "nowhere"),
        (("evaluate", "retrieval", "--model", "open_clip:ViT-Z", "--data", "SHOP", "--split", "val"), "ViT-Z"),
        (("evaluate", "retrieval", "--model", "CLIP", "--data", "SHOP", "--split", "tset"), "train, val"),
        (("evaluate", "retrieval", "--model", "CLIP", "--data", "SHOP", "--split", "val", "--protocol", "mine"), "sample-100"),
        (("evaluate", "retrieval", "--model", "CLIP", "--data", "SHOP", "--split", "val", "--text", "poem"), "caption"),
        (("embed", "--model", "CLIP", "--data", "SHOP", "--split", "val", "--what", "smell", "--out", "OUT"), "smell"),
        (("embed", "--model", "CLIP", "--data", "SHOP", "--split", "val", "--what", "region", "--out", "OUT"), "region"),
        (("data", "info", "elsewhere:DIR"), "elsewhere"),
        (("data", "info", "boutique:trian=3"), "trian"),
    ],
)
def test_mistakes_get_one_line_and_status_2(e2, shop, trained, tmp_path, arguments, named):
    places = {"SHOP": shop, "CLIP": trained / "clip", "OUT": tmp_path / "out"}
    if "cuda" in arguments:
        import torch

        if torch.cuda.is_available():
            pytest.skip("this machine has a GPU")
    status, stdout, stderr = e2(*(places.get(argument, argument) for argument in arguments))
    lines = [line for line in stderr.splitlines() if line.startswith("e2: ")]
    assert status == 2 and stdout == ""
    assert len(lines) == 1 and named in lines[0]
    assert "Traceback" not in stderr
    assert not (tmp_path / "out").exists()


def test_every_command_explains_itself(e2):
    for command in (
        (),
        ("train",),
        ("embed",),
        ("quickstart",),
        ("evaluate", "retrieval"),
        ("data", "info"),
        ("data", "make"),
    ):
        status, stdout, _ = e2(*command, "--help")
        assert status == 0 and "Usage" in stdout
        assert not command or "Example" in stdout


def test_no_help_is_cut_at_80_columns(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    cut = {
        name: [line for line in run_command(*name.split()[1:], "--help").out.splitlines() if "…" in line]
        for name, _ in every_command()
    }
    assert len(cut) > 30 and not {name: lines for name, lines in cut.items() if lines}


def test_the_version_is_printed(e2):
    assert e2("--version") == (0, f"e2 {__version__}\n", "")


def test_the_help_waits_for_no_heavy_package():
    script = (
        "import sys, e2.commands; print(sorted({'numpy', 'pyarrow', 'torch', 'pydantic', 'matplotlib'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize("package", ["typer", "e2.options", "torch"])  # before the command begins, and when it has
def test_ctrl_c_while_packages_are_imported_ends_silently(package, tmp_path):
    script = f"""
import signal, sys

class Impatient:
    def find_spec(self, name, *_):
        if name == {package!r}:
            try:
                signal.raise_signal(signal.SIGINT)
            except KeyboardInterrupt:
                raise ImportError("taken for a fault of its own")

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it, and would train
sys.meta_path.insert(0, Impatient())
sys.argv = "e2 train --data boutique --out {tmp_path}/run".split()
from e2.cli import main
main()
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "") and names_in(tmp_path) == []


def test_ctrl_c_elsewhere_is_an_exception_and_another_handler_stays():
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it
    with imports_end_silently(), pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with imports_end_silently():
            assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_what_a_library_prints_itself_is_not_printed_twice():
    script = """
import logging, sys
from e2 import cli, commands

def download():
    logging.warning("open_clip's, which makes a handler")
    library = logging.getLogger("library")
    library.addHandler(logging.StreamHandler())
    library.setLevel("WARNING")
    library.warning("retrying")

commands.app = download
cli.main()
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stderr == "retrying\n"


def test_what_is_not_there_is_told_without_pytorch():
    script = "import sys, e2.cli\nsys.argv = 'e2 train --data none.csv --out x'.split()\ntry: e2.cli.main()\n"
    script += "except SystemExit as end: print(end.code, 'torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "2 False\n" and "none.csv: there is no such file" in done.stderr


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("data check none.csv --out x", "none.csv: there is no such file"),
        ("study dataset --data none.csv --tags brand --out x", "none.csv: there is no such file"),
        ("evaluate retrieval --model none --data boutique", "no encoder 'none'"),
        ("evaluate retrieval --model open_clip:e2-nano none --data boutique", "no encoder 'none'"),
        ("compare --model open_clip:e2-nano --model none --data boutique --out x", "no encoder 'none'"),
        ("compare --model onnx:none open_clip:e2-nano --data boutique --out x", "onnx:none: there is no folder none"),
        ("embed --model local-dir:none --data boutique --out x", "local-dir:none: there is no folder none"),
        ("wise-ft --model none --data boutique --out x", "no folder none"),
        ("push --model none --repo shop/clip", "no folder none"),
        ("caption write --captioner none --data boutique --out x", "no folder none"),
        ("evaluate captioning --captioner none --data boutique", "no folder none"),
        ("index info --index none", "no folder none"),
        (
            "compose search --image a.jpg --text red --encoder open_clip:x --composer none --data boutique",
            "no folder none",
        ),
        ("export --model none --format onnx --out x", "no encoder 'none'"),
        ("caption fit --method nearest --encoder none --data boutique --out x", "no encoder 'none'"),
    ],
)
def test_what_is_not_there_is_told_before_the_command_runs(monkeypatch, line, told):
    monkeypatch.setattr(TyperCommand, "invoke", lambda *_: pytest.fail("it ran"))
    assert told in run_command(*line.split()).line


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (RuntimeError("DataLoader worker (pid 7) is killed"), "--workers"),
        (ConnectionResetError(104, "reset"), "--workers"),
        (RuntimeError("operator torchvision::nms does not exist"), "builds of both together"),  # CPU torch, CUDA torchvision
    ],
)
def test_a_fault_of_the_machine_is_told_in_one_line(e2, monkeypatch, error, told):
    monkeypatch.setattr(commands, "app", Mock(side_effect=error))
    status, _, errors = e2("train")
    assert status == 1 and told in errors and errors.count("\n") == 1


def test_a_worker_that_dies_while_it_hands_over_is_told_in_one_line(e2, monkeypatch):
    ours, others = Pipe()
    others.close()
    monkeypatch.setattr("e2.data.info.write_info", lambda *_, **__: ours.recv())  # raises what a loader then raises
    status, _, errors = e2("data", "info", "boutique")
    assert status == 1 and "--workers" in errors and errors.count("\n") == 1


@pytest.mark.parametrize("error", [RuntimeError("a bug"), EOFError("a bug")])
def test_a_fault_of_ours_keeps_its_traceback(e2, monkeypatch, error):
    monkeypatch.setattr("e2.data.info.write_info", Mock(side_effect=error))
    with pytest.raises(RuntimeError, match="a bug"):
        e2("data", "info", "boutique")


def test_a_stopped_job_names_the_command_that_continues_it(e2, monkeypatch):
    stop = TrainingStopped("stopped at step 3 of 9", "--resume --out runs/a b")
    monkeypatch.setattr(commands, "app", Mock(side_effect=stop))
    for resume in ((), ("--resume",)):
        status, _, errors = e2("train", "--out", "runs/a b", *resume)
        assert (status, errors) == (1, "e2: stopped at step 3 of 9; continue with e2 train --out 'runs/a b' --resume\n")

"""Bad input of every kind through the real commands: one clear line, status 2 (1 while running), and nothing damaged."""

import ast
import errno
import json
import os
import pickle
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file, save_file

import e2.data.images
from e2.checkpoint import load
from e2.training.run import locked
from e2.training.state import read_state
from tests.command import contents, run_command
from tests.conftest import TINY, jpeg
from tests.shared import ROOT

QUICK = "--backbone test-tiny --workers 0 --device cpu --batch-size 16 --steps 4"
TRAIN = f"train {QUICK} --out {{out}}"
TRAIN_SHOP = f"{TRAIN} --data {{shop}} --tags brand"
RETRIEVAL = "evaluate retrieval --data {shop} --split val --device cpu --workers 0 --out {out}"
EMBED = "embed --model {run} --device cpu --workers 0 --split val"


def rows(count: int, **changed) -> list[dict]:
    """Records of every usual column."""
    photo = {"bytes": jpeg((200, 30, 30), 0), "path": None}
    return [
        {"product_id": f"p{i}", "image": photo, "caption": f"Tee {i}", "brand": "NP"[i % 2], **changed} for i in range(count)
    ]


def write_tables(folder: Path) -> None:
    """Tables that are no catalogue, each in its own way."""

    def parquet(name: str, table: pa.Table | list) -> None:
        pq.write_table(pa.Table.from_pylist(table) if isinstance(table, list) else table, folder / f"{name}.parquet")

    sound = pa.Table.from_pylist(rows(8))
    parquet("sound", sound)
    whole = (folder / "sound.parquet").read_bytes()
    (folder / "half.parquet").write_bytes(whole[: len(whole) // 2])
    (folder / "nothing.parquet").write_bytes(b"")
    (folder / "nothing.csv").write_bytes(b"")
    (folder / "header.csv").write_text("product_id,image,caption,brand\n")
    (folder / "ragged.csv").write_text("product_id,image,caption,brand\n1,2\n")
    (folder / "deep.jsonl").write_text('{"a":' * 5000 + "1" + "}" * 5000)
    (folder / "latin.csv").write_bytes("product_id,image,caption,brand\n1,a.jpg,caf\xe9,b\n".encode("latin-1"))
    (folder / "list.jsonl").write_text("[1, 2]\n")
    (folder / "text.txt").write_text("no table")
    (folder / "empty").mkdir()
    parquet("norows", sound.slice(0, 0))
    parquet("one", rows(1))
    parquet("two", rows(2))
    parquet("twice", sound.append_column("caption", sound["caption"]))
    parquet("untagged", rows(8, brand=None))
    parquet("control", rows(8, image={"bytes": None, "path": "a\nb\x1b[31m.jpg"}))
    parquet("device", rows(8, image={"bytes": None, "path": "/dev/zero"}))
    parquet("struct", rows(8, product_id={"a\nb": 1}))


def write_configs(folder: Path) -> None:
    """Files for ``--config``."""
    (folder / "unknown.yaml").write_text("optim: {rate: 1}")
    (folder / "list.yaml").write_text("- 1\n- 2")
    (folder / "twice.yaml").write_text("optim: {lr: 1e-3}\nseed: 1\noptim: {lr: 1e-4}")
    (folder / "broken.yaml").write_text("optim: {lr: [1")
    (folder / "object.yaml").write_text("!!python/object/apply:os.system [exit]")
    (folder / "binary.yaml").write_bytes(bytes(range(256)))
    (folder / "wrong.yaml").write_text("optim: {lr: fast}")


def write_models(folder: Path, sound: Path) -> None:
    """Copies of a checkpoint, each damaged in its own way."""

    def copy(name: str) -> tuple[Path, Path]:
        model = folder / name
        model.mkdir()
        for file in ("model.safetensors", "config.json"):
            shutil.copy(sound / file, model)
        return model / "model.safetensors", model / "config.json"

    content, tensors = json.loads((sound / "config.json").read_text()), load_file(sound / "model.safetensors")
    weights, _ = copy("half")
    weights.write_bytes(weights.read_bytes()[: weights.stat().st_size // 2])
    save_file({name: tensor.flatten()[:1] for name, tensor in tensors.items()}, copy("shapes")[0])
    save_file({**tensors, "stranger": torch.ones(1)}, copy("more")[0])
    save_file({name: tensor for name, tensor in tensors.items() if name != "logit_scale"}, copy("less")[0])
    copy("noweights")[0].unlink()
    copy("cut")[1].write_text(json.dumps(content)[:99])
    copy("deep")[1].write_text('{"a":' * 50_000)
    for name, changed in {
        "newer": {"format": 99},
        "odd": {"format": [1]},
        "setting": {"model": {**content["model"], "colour": 1}},
        "name": {"backbone": 5},
        "architecture": {"backbone_config": {**content["backbone_config"], "vision_cfg": {"layers": [], "width": 0}}},
        "deviation": {"preprocess": {**content["preprocess"], "std": [0, 0, 0]}},
    }.items():
        copy(name)[1].write_text(json.dumps({**content, **changed}))


@pytest.fixture(scope="module")
def places(shop, tiny, tmp_path_factory) -> dict[str, Path]:
    """Everything that the command lines name: a sound catalogue, a sound run, and much that is not."""
    base = tmp_path_factory.mktemp("bad")
    answer = run_command(*shlex.split(TRAIN_SHOP.format(out=base / "run", shop=shop)))
    assert answer.status == 0, answer
    for name, write in {"tables": write_tables, "configs": write_configs}.items():
        (base / name).mkdir()
        write(base / name)
    (base / "models").mkdir()
    write_models(base / "models", base / "run")
    (base / "file").write_text("precious")
    return {"shop": shop, "run": base / "run", "base": base, **{n: base / n for n in ("tables", "configs", "models", "file")}}


CASES = [
    # tables
    (TRAIN + " --data {base}/none.parquet", "none.parquet", "no such file"),
    (TRAIN + " --data {tables}/half.parquet --tags brand", "half.parquet", "cannot be read"),
    (TRAIN + " --data {tables}/nothing.parquet --tags brand", "nothing.parquet", "0 bytes"),
    (TRAIN + " --data {tables}/nothing.csv --tags brand", "nothing.csv", "cannot be read"),
    (TRAIN + " --data {tables}/header.csv --tags brand", "header.csv", "no rows"),
    (TRAIN + " --data {tables}/ragged.csv --tags brand", "ragged.csv", "1 malformed row"),
    (TRAIN + " --data {tables}/deep.jsonl --tags brand", "deep.jsonl, line 1", "not JSON"),
    (TRAIN + " --data {tables}/list.jsonl --tags brand", "list.jsonl, line 1", "not an object"),
    (TRAIN + " --data {tables}/latin.csv --tags brand", "latin.csv", "missing image file"),
    (TRAIN + " --data {tables}/text.txt", "text.txt", "not a table"),
    (TRAIN + " --data {tables}/empty", "empty", "no table in it"),
    (TRAIN + " --data {tables}/norows.parquet --tags brand", "norows.parquet", "no rows"),
    (TRAIN + " --data {tables}/one.parquet --tags brand", "one.parquet", "1 product"),
    (TRAIN + " --data {tables}/two.parquet --tags brand", "two.parquet", "at least 3"),
    (TRAIN + " --data {tables}/twice.parquet --tags brand", "twice.parquet", "'caption' occurs twice"),
    (TRAIN + " --data {tables}/untagged.parquet --tags brand", "untagged.parquet", "no product has a value"),
    (TRAIN + " --data {tables}/control.parquet --tags brand", "8 of 8 rows", "--on-bad-row skip"),
    (TRAIN + " --data {tables}/control.parquet --tags brand --on-bad-row skip", "all rows are unusable"),
    (TRAIN + " --data {tables}/device.parquet --tags brand", "8 of 8 rows", "8 missing image file"),
    (TRAIN + " --data {tables}/struct.parquet --tags brand", "'product_id'", "cannot be read as product_id"),
    (TRAIN + " --data {tables}/sound.parquet", "--tags", "e2 needs tag entities"),
    (TRAIN + " --data {tables}/sound.parquet --method clip --text mixed", "--text mixed", "name the entities by --tags"),
    (TRAIN + " --data {tables}/sound.parquet --tags brand,brand", "brand", "twice"),
    (TRAIN + " --data {tables}/sound.parquet --tags maker", "'maker'", "it has product_id"),
    (TRAIN + " --data {tables}/sound.parquet --tags brand --image-column photo", "'photo'", "--image-column"),
    (TRAIN + " --data {tables}/sound.parquet --tags brand --id-column sku", "'sku'", "--id-column"),
    (TRAIN + " --data {tables}/sound.parquet --tags brand --id-column brand", "6 duplicate id"),
    (TRAIN + " --data mongodb:shop", "'mongodb'", "there are boutique"),
    ("data info {tables}/half.parquet --out {out}", "half.parquet", "cannot be read"),
    ("data import {tables}/half.parquet --out {out}", "half.parquet", "cannot be read"),
    ("data import {tables}/sound.parquet --to excel --out {out}", "excel", "parquet or webdataset"),
    ("data make shop --out {out}", "boutique only"),
    (EMBED + " --data {tables}/twice.parquet --out {out}", "twice.parquet", "occurs twice"),
    ("evaluate retrieval --model {run} --data {tables}/one.parquet --workers 0 --device cpu --out {out}", "1 product", "two"),
    (RETRIEVAL.replace("split val", "split night") + " --model {run}", "'night'", "train, val"),
    # settings
    (TRAIN_SHOP + " --method clap", "'clap'", "multifield"),
    (TRAIN_SHOP + " --preset prose", "'prose'", "paper"),
    (TRAIN_SHOP.replace("test-tiny", "ViT-Z"), "'ViT-Z'", "e2-nano"),
    (TRAIN_SHOP.replace("test-tiny", "ftp:x"), "'ftp:x'", "local-dir:"),
    (TRAIN_SHOP.replace("test-tiny", "local-dir:{base}/none"), "local-dir:", "none"),
    (TRAIN_SHOP.replace("test-tiny", "transformers:{base}/none"), "none", "model_type"),
    (TRAIN_SHOP + " --pretrained nothing", "'nothing'", "neither a file nor a weights tag"),
    (TRAIN_SHOP + " --pretrained {tables}/half.parquet", "half.parquet"),
    (TRAIN_SHOP + " --precision int3", "'int3'", "bf16"),
    (TRAIN_SHOP.replace("--device cpu", "--device abacus"), "'abacus'", "cuda"),
    (TRAIN_SHOP + " --on-bad-row maybe", "'maybe'", "skip"),
    (TRAIN_SHOP + " --text poem", "'poem'", "caption"),
    (TRAIN_SHOP + " --epochs 2", "either epochs or steps"),
    (TRAIN_SHOP + " --config {base}/none.yaml", "none.yaml", "No such file"),
    (TRAIN_SHOP + " --config {base}", "--config", "directory"),
    (TRAIN_SHOP + " --config {configs}/unknown.yaml", "optim: unknown setting rate", "weight_decay"),
    (TRAIN_SHOP + " --config {configs}/list.yaml", "list.yaml", "key: value"),
    (TRAIN_SHOP + " --config {configs}/twice.yaml", "twice.yaml names 'optim' twice"),
    (TRAIN_SHOP + " --set optim='{{lr: 1, lr: 2}}'", "the value names 'lr' twice"),
    (TRAIN_SHOP + " --config {configs}/broken.yaml", "broken.yaml", "not valid YAML"),
    (TRAIN_SHOP + " --config {configs}/object.yaml", "object.yaml", "not valid YAML"),
    (TRAIN_SHOP + " --config {configs}/binary.yaml", "binary.yaml", "not valid YAML"),
    (TRAIN_SHOP + " --config {configs}/wrong.yaml", "optim.lr", "'fast'"),
    (TRAIN_SHOP + " --set optim.rate=1", "unknown setting rate"),
    (TRAIN_SHOP + " --set optim.lr", "KEY=VALUE"),
    *(
        (f"{TRAIN_SHOP} --set {setting}", setting.partition("=")[0].rpartition(".")[2])
        for setting in (
            *("seed=-1", "seed=1180591620717411303424", "seed=.inf", "data.workers=-1", "data.chunk_size=0", "eval_every=0"),
            *("optim.lr=-1", "optim.lr=.inf", "optim.lr=.nan", "optim.weight_decay=-1", "optim.betas=[2,3]", "optim.warmup=5"),
            *("optim.final_lr=-3", "optim.clip_norm=-1", "optim.new_only=3", "optim.image_layers=-3", "optim.text_layers=-1"),
            *("model.temperature=0", "model.rank=-1", "model.tokens=100000000000000", "model.layers=[9]", "wise_ft=0.5"),
            *("loss.max_logit_scale=-1", "loss.region_prompt='{{foo}}'", "loss.global_weight=-1", "loss.negatives=0"),
            *("data.tags=[brand,brand]", "loss.kind=sigmoid", "loss.distill_weight=1", "model.selector=psychic"),
        )
    ),
    (TRAIN_SHOP + " --set image_size=3", "smaller than a patch"),
    (TRAIN_SHOP + " --set image_size=[32,0]", "image_size", "at least 1"),
    (TRAIN_SHOP + " --set image_size=1000000000000", "cannot load backbone"),
    # checkpoints
    (RETRIEVAL + " --model {models}/none", "none", "checkpoint folder"),
    (RETRIEVAL + " --model {models}/half", "half/model.safetensors", "damaged"),
    (RETRIEVAL + " --model {models}/shapes", "shapes/model.safetensors", "does not fit"),
    (RETRIEVAL + " --model {models}/more", "more/model.safetensors", "stranger"),
    (RETRIEVAL + " --model {models}/less", "less/model.safetensors", "logit_scale"),
    (RETRIEVAL + " --model {models}/noweights", "noweights/model.safetensors", "missing"),
    (RETRIEVAL + " --model {models}/cut", "cut/config.json", "damaged"),
    (RETRIEVAL + " --model {models}/deep", "deep/config.json", "damaged"),
    (RETRIEVAL + " --model {models}/newer", "format 99", "the e2 that wrote it"),
    (RETRIEVAL + " --model {models}/odd", "format [1]", "the e2 that wrote it"),
    (RETRIEVAL + " --model {models}/setting", "setting/config.json", "unknown setting colour"),
    (RETRIEVAL + " --model {models}/name", "name/config.json", "backbone 5"),
    (RETRIEVAL + " --model {models}/architecture", "test-tiny"),
    (RETRIEVAL + " --model {models}/deviation", "deviation/config.json", "preprocess.std"),
    (RETRIEVAL + " --model {file}", "file", "checkpoint folder"),
    (RETRIEVAL + " --model open_clip:test-tiny/{models}/half/model.safetensors", "half/model.safetensors", "damaged"),
    (RETRIEVAL + " --model open_clip:ViT-Z", "'ViT-Z'"),
    (RETRIEVAL.replace("cpu", "meta") + " --model {run}", "'meta'", "cpu"),
    (RETRIEVAL + " --model {run} --precision int3", "'int3'", "bf16"),
    # places to write to
    (f"train {QUICK} --data {{shop}} --tags brand --out {{file}}", "file", "choose a new folder"),
    (f"train {QUICK} --data {{shop}} --tags brand --out {{file}}/run", "file/run", "choose another --out"),
    (f"train {QUICK} --data {{shop}} --tags brand --out /proc/e2/run", "/proc/e2/run", "choose another --out"),
    (f"train {QUICK} --data {{shop}} --tags brand --out /proc/run", "/proc/run", "choose another --out"),
    (f"train {QUICK} --data {{shop}} --tags brand --out {{run}}", "holds a finished run", "--resume"),
    (f"train {QUICK} --data {{shop}} --tags brand --out {{shop}} --overwrite", "holds other files"),
    (f"train {QUICK} --data {{shop}} --tags brand --out {{run}} --resume --seed 3", "seed = 0, not 3"),
    (EMBED + " --data {shop} --out {file}/vectors.parquet", "vectors.parquet", "choose another --out"),
    (EMBED + " --data {shop} --out {run}", "run", "holds a run, not embeddings"),
    (EMBED + " --data {shop} --out /dev/full", "/dev/full", "is not a folder"),
    (RETRIEVAL.replace("{out}", "{file}") + " --model {run}", "file/metrics.json", "choose another --out"),
    ("data info {shop} --out {file}", "file", "choose another --out"),
    ("data import {shop} --out {run}", "run", "holds a run, not an imported catalogue"),
    ("data import {shop} --out {run} --overwrite", "run", "holds a run, not an imported catalogue"),
    ("data import {shop} --out {file}/x", "file/x", "choose another --out"),
]


@pytest.mark.parametrize(("line", "words"), [(line, words) for line, *words in CASES], ids=[words[0] for _, *words in CASES])
def test_bad_input_is_one_line_and_status_2(places, tmp_path, line, words):
    sound = {name: contents(places[name]) for name in ("shop", "run")}
    answer = run_command(*shlex.split(line.format(out=tmp_path / "out", **places)))
    assert answer.status == 2 and answer.out == "", answer
    said = answer.line
    assert all(word in said for word in words), said
    assert "\x1b" not in answer.err
    assert list(tmp_path.iterdir()) == []
    assert places["file"].read_text() == "precious"
    assert {name: contents(places[name]) for name in sound} == sound


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_a_device_is_not_replaced_by_a_file(places):
    assert Path("/dev/full").is_char_device()


@pytest.mark.parametrize("line", ["train --colour red --out x", "train --seed x --out x", "bake", "train --data x"])
def test_options_that_do_not_exist(line):
    answer = run_command(*shlex.split(line))
    assert answer.status == 2 and answer.line and "Error" not in answer.err


def test_the_same_in_a_process_of_its_own(places):
    line = ["data", "info", str(places["tables"] / "half.parquet")]
    done = subprocess.run([sys.executable, "cli.py", *line], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2 and done.stdout == ""
    (said,) = done.stderr.splitlines()
    assert said.startswith("e2: ") and "half.parquet" in said


@pytest.mark.slow
@pytest.mark.parametrize(
    ("line", "named", "announced"),  # a training first says in two lines what it is about to read
    [
        ("train --data {tables}/half.parquet --tags brand --out {out}", "half.parquet", 2),
        ("evaluate retrieval --model {models}/half --data {shop} --split val --device cpu", "model.safetensors", 0),
    ],
)
def test_commands_that_start_pytorch_do_the_same(places, tmp_path, line, named, announced):
    code = f"import sys, open_clip; open_clip.add_model_config({str(tmp_path / 'test-tiny.json')!r}); import cli; cli.main()"
    (tmp_path / "test-tiny.json").write_text(json.dumps(TINY))
    done = subprocess.run(
        [sys.executable, "-c", code, *shlex.split(line.format(out=tmp_path / "out", **places))],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2 and done.stdout == ""
    (said,) = done.stderr.splitlines()[announced:]
    assert said.startswith("e2: ") and named in said


# --- while running ------------------------------------------------------------------------------------------------


def test_two_runs_into_one_folder(places, tmp_path):
    with locked(tmp_path / "out"):
        answer = run_command(*shlex.split(TRAIN_SHOP.format(out=tmp_path / "out", **places)))
    assert answer.status == 2 and "another run is writing to" in answer.line and not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("writer", "nth"),
    [("e2.training.state.save_file", 3), ("e2.checkpoint.save_file", 2), ("e2.training.state.atomic_folder", 3)],
)
def test_a_disk_that_fills_up(places, tmp_path, monkeypatch, writer, nth):
    """The nth write of its kind fails: one line, and what was saved before is whole; then there is room again."""
    module, _, name = writer.rpartition(".")
    original, calls = getattr(sys.modules[module], name), []

    def full(*args):
        calls.append(args)
        if len(calls) == nth:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(tmp_path))
        return original(*args)

    line = shlex.split(
        f"{TRAIN_SHOP} --set save_every=1 --set eval_every=1 --set optim.lr=0.01".format(out=tmp_path / "out", **places)
    )
    with monkeypatch.context() as patch:
        patch.setattr(writer, full)
        answer = run_command(*line)
    if len(calls) < nth:
        pytest.fail(f"{writer} was called {len(calls)} times only")
    assert answer.status == 1 and "No space left" in answer.line
    assert read_state(tmp_path / "out")[1].step >= 1
    assert not [path for path in (tmp_path / "out").rglob("*") if ".tmp" in path.name]
    assert run_command(*line, "--resume").status == 0


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 6 MB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=6m", "none", str(disk)], capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"cannot mount a small file system here: {mounted.stderr.strip()}")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_a_disk_that_is_really_full(places, small_disk):
    line = shlex.split(
        f"{TRAIN_SHOP} --steps 12 --set save_every=1 --set eval_every=4".format(out=small_disk / "out", **places)
    )
    answer = run_command(*line)
    assert answer.status == 1 and "No space left" in answer.line
    (small_disk / "ballast").write_bytes(bytes(1 << 10))
    subprocess.run(["mount", "-o", "remount,size=60m", str(small_disk)], check=True)
    assert run_command(*line, "--resume").status == 0
    assert load(small_disk / "out")


@pytest.mark.parametrize("command", [EMBED + " --data {shop} --out {out}", RETRIEVAL + " --model {run}", TRAIN_SHOP])
def test_killed_workers(places, tmp_path, monkeypatch, command):
    """Whichever command decodes photos in processes of its own."""
    parent, opened = os.getpid(), e2.data.images._opened

    def deadly(source):
        if os.getpid() != parent:
            os.kill(os.getpid(), signal.SIGKILL)
        return opened(source)

    monkeypatch.setattr("e2.data.images._opened", deadly)
    line = command.replace("--workers 0", "--workers 1").format(out=tmp_path / "out", **places)
    answer = run_command(*shlex.split(line), "--batch-size", "4")
    assert answer.status == 1 and "--workers" in answer.line
    assert not [path for path in tmp_path.rglob("*") if ".tmp" in path.name or path.name in ("out.parquet", "metrics.json")]


# --- one photo in ten thousand ------------------------------------------------------------------------------------


@pytest.mark.slow
def test_one_broken_photo_in_ten_thousand_ends_no_run(tiny, tmp_path, monkeypatch):
    """One is broken from the start and left out, one breaks when the run has begun: all other products are learned from."""
    photos = [jpeg((20 * i % 255, 90, 160), i, 16) for i in range(20)]
    (tmp_path / "lost.jpg").write_bytes(photos[0])
    images = [{"bytes": photos[i % 20], "path": None} for i in range(10_000)]
    images[1234] = {"bytes": photos[0][:200], "path": None}
    images[4321] = {"bytes": None, "path": "lost.jpg"}
    table = {"product_id": [f"p{i}" for i in range(10_000)], "image": images, "caption": [f"Tee {i}" for i in range(10_000)]}
    pq.write_table(pa.table(table), tmp_path / "many.parquet")
    monkeypatch.setenv("E2_CACHE", str(tmp_path / "cache"))
    from e2.training.run import train

    def late(*args, **kwargs):
        (tmp_path / "lost.jpg").unlink()
        return train(*args, **kwargs)

    monkeypatch.setattr("e2.training.run.train", late)
    line = f"train --method clip --data {tmp_path}/many.parquet --on-bad-row skip --out {tmp_path}/run --backbone {tiny}"
    answer = run_command(
        *shlex.split(line), *shlex.split("--epochs 1 --batch-size 500 --workers 0 --device cpu --set data.augment=none")
    )
    assert answer.status == 0, answer
    said = " ".join(answer.err.split())
    assert "left out 1 of 10,000 rows" in said and "'p4321'" in said
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["history"][0]["step"] == 18


# --- no pickles ---------------------------------------------------------------------------------------------------


class Payload:
    """What runs a command when it is unpickled."""

    def __init__(self, trace: Path):
        self.trace = trace

    def __reduce__(self):
        return Path.touch, (self.trace,)


def write_pickle(path: Path, trace: Path) -> None:
    """A weights file with a payload in it, as its ending wants it."""
    if path.suffix in (".npz", ".npy"):
        array = np.array([Payload(trace)], dtype=object)
        np.savez(path, array) if path.suffix == ".npz" else np.save(path, array, allow_pickle=True)
    elif path.suffix == ".pkl":
        path.write_bytes(pickle.dumps({"state_dict": Payload(trace)}))
    else:
        torch.save({"state_dict": {"logit_scale": torch.ones(()), "more": Payload(trace)}}, path)


@pytest.mark.parametrize("name", ["w.pt", "w.bin", "w.pth", "w.pkl", "w.npz", "w.npy", "w.safetensors", "w"])
def test_a_pickle_from_others_is_not_run(places, tmp_path, name):
    trace, file = tmp_path / "trace", tmp_path / name
    write_pickle(file, trace)
    for line in (f"{TRAIN_SHOP} --pretrained {file}", f"{RETRIEVAL} --model open_clip:test-tiny/{file}"):
        answer = run_command(*shlex.split(line.format(out=tmp_path / "out", **places)))
        assert answer.status == 2 and name in answer.line and not trace.exists()


@pytest.mark.parametrize("name", ["open_clip_pytorch_model.bin", "pytorch_model.bin"])
@pytest.mark.parametrize("place", ["local-dir:", "open_clip:test-tiny/", "transformers:"])
def test_nor_one_in_a_folder(places, tmp_path, name, place):
    trace, folder = tmp_path / "trace", tmp_path / "folder"
    folder.mkdir()
    write_pickle(folder / name, trace)
    if place == "transformers:":
        (folder / "config.json").write_text(json.dumps({"model_type": "clip"}))
    else:
        (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": TINY, "preprocess_cfg": {}}))
    answer = run_command(*shlex.split(f"{RETRIEVAL} --model {place}{folder}".format(out=tmp_path / "out", **places)))
    assert answer.status == 2 and len(answer.line) > 10 and not trace.exists()


FORBIDDEN = {
    "pickle.load",
    "pickle.loads",
    "yaml.load",
    "yaml.unsafe_load",
    "joblib.load",
    "torch.hub.load",
    "pandas.read_pickle",
}


def test_the_code_reads_no_pickle():
    """Every ``torch.load`` reads tensors only, ``np.load`` no objects, transformers nobody's code but what we just wrote."""
    own = ROOT / "adapters/export/transformers_encoder.py"  # opens a folder that `e2 export` has written a moment before
    files = [ROOT / "cli.py", *(path for part in ("e2", "adapters", "benchmarks") for path in (ROOT / part).rglob("*.py"))]
    loads = 0
    for file in files:
        for node in ast.walk(ast.parse(file.read_text())):
            if not isinstance(node, ast.Call):
                continue
            name, options = ast.unparse(node.func), {k.arg: ast.unparse(k.value) for k in node.keywords}
            where = f"{file}:{node.lineno}"
            assert name not in FORBIDDEN, where
            assert options.get("allow_pickle", "False") == "False", where
            assert options.get("trust_remote_code", "False") == "False" or file == own, where
            if name == "torch.load":
                loads += 1
                assert options.get("weights_only") == "True", where
    assert loads >= 1 and len(files) > 50

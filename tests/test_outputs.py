"""What another program or a person made is refused by every command that writes, never replaced or removed."""

import contextlib
import json
import os
import re
import shlex
import shutil
import signal
from pathlib import Path

import PIL.Image
import pyarrow.parquet
import pytest
import torch

import e2.progress
from e2.adapters.composed.store import read_record
from e2.adapters.encoder import load_encoder
from e2.adapters.export.record import read_export
from e2.data import open_catalogue
from e2.errors import InputError, TrainingStopped
from e2.files import atomic_path, output_folder
from e2.outputs import LEDGER, OutputKind, aside, claim, is_ours, record_folder
from tests.command import contents, every_command, run_command

CPU = "--device cpu --workers 0"
SHOP = "--data {shop} --split val --tags brand,colour {CPU}"
FIT = "--data {shop} --split train --device cpu"
# Command -> a line that works where {out} is new. All that a line may write lies below {out}.
LINES = {
    "start": "start {shop} --tags brand --backbone test-tiny --epochs 1 --device cpu --out {out}",
    "train": "train --backbone test-tiny {CPU} --batch-size 16 --steps 2 --data {shop} --tags brand --out {out}",
    "wise-ft": "wise-ft --model {tuned} {SHOP} --alphas 0,1 --save 0.5 --out {out}",
    "embed": "embed --model {run} {SHOP} --out {out}",
    "export": "export --model {run} --format open_clip --backbone-only --device cpu --out {out}",
    "push": "push --model {run} --repo shop/clip --dry-run --out {out}",
    "data import": "data import {shop} --tags brand --out {out}",
    "data entities": "data entities {shop} --out {out}/entities.yaml",
    "data general": "data general {shop} --tags sub_category=brand,colour --out {out}",
    "data info": "data info {shop} --tags brand --out {out}",
    "data check": "data check {shop} --tags brand,colour --out {out}",
    "data make": "data make boutique:train=8,val=4,test=4,size=32 --out {out}",
    "data amazon-fashion": "data amazon-fashion --meta {meta} --out {out}",
    "evaluate retrieval": "evaluate retrieval --model {run} {SHOP} --out {out}",
    "evaluate probe": "evaluate probe --model {run} --data {shop} --tags brand,colour --split val {CPU} --out {out}",
    "evaluate detail": "evaluate detail --model {run} {SHOP} --out {out}",
    "evaluate gap": "evaluate gap --model {run} {SHOP} --out {out}",
    "evaluate grounding": "evaluate grounding --model {run} {SHOP} --products 4 --out {out}",
    "evaluate captioning": "evaluate captioning --captions {captions} --data {shop} --split val --java none --out {out}",
    "evaluate composed": "evaluate composed --benchmark attribute-swap {SHOP} --model {run} --method image --out {out}",
    "compare": "compare --model {run} {SHOP} --out {out}",
    "caption fit": "caption fit --method nearest --encoder {run} {FIT} --out {out}",
    "caption sweep": "caption sweep --encoder {run} {FIT} --steps 2 --variances 0.01 --products 2 --out {out}",
    "caption write": "caption write --captioner {captioner} --data {photos} {CPU} --out {out}/captions.jsonl",
    "compose fit": "compose fit --method lincir --encoder {run} --data {shop} --steps 2 {CPU} --out {out}",
    "compose search": "compose search --image {photos}/a.jpg --text red --encoder {run} --method image {SHOP} --out {out}",
    "index build": "index build --encoder {run} {SHOP} --out {out}",
    "report captions": "report captions --results {scores} --out {out}",
    "report study": "report study --results {study} --out {out}",
    "study": "study dataset --data {shop} --tags brand,colour --out {out}",
}
ELSEWHERE = {
    "app": "only its --demo writes, by `index build`",
    "quickstart": "writes by `train` and `evaluate retrieval`",
    "speed": "writes metrics.json by `write_json`, as the evaluators do",
}
# Names that our commands write, each made by somebody else here.
NAMES = [
    *("config.json", "model.safetensors", "summary.json", "log.csv", "training/state.json", "tokenizer/tokenizer.json"),
    *("metrics.json", "comparison.json", "captions.jsonl", "captions.jsonl.part", "composer.json", "mapping.safetensors"),
    *("train.parquet", "val.parquet", "part-000000.parquet", "_manifest.json", "train-000000.tar", "statistics.json"),
    *("index.sqlite", "build.sqlite", "failures.jsonl", "info.json", "tags.png", "products.jpg", "hits.json", "hits.png"),
    *("wise_ft.json", "sweep.json", "README.md", "export.json", "index.html", "captions.html", "study.html", "table.md"),
    *("probe.png", "probe.svg", "detail.png", "detail.svg", "gap.png", "gap.svg", "grounding.png", "grounding.svg"),
    *("entities.yaml", "import.json", "photos.sqlite", "run/image/metrics.json", "boutique/train.parquet", "notes.txt"),
    *("start.json", "data/import.json", "model/summary.json"),
]


@pytest.fixture(scope="module")
def made(shop, tiny, tmp_path_factory) -> dict[str, str]:
    """What the lines start from."""
    base = tmp_path_factory.mktemp("made")
    places = {
        name: str(base / name) for name in ("run", "tuned", "captioner", "photos", "captions", "scores", "study", "meta")
    }
    places |= {"CPU": CPU, "shop": str(shop), "SHOP": SHOP.format(shop=shop, CPU=CPU), "FIT": FIT.format(shop=shop, CPU=CPU)}
    train = LINES["train"]
    (base / "photos").mkdir()
    (base / "captions").write_text("".join(f'{{"product_id": "val-{i}", "caption": "A red tee {i}"}}\n' for i in range(12)))
    (base / "meta").write_text("{}\n")
    import pyarrow.parquet as pq

    (base / "photos" / "a.jpg").write_bytes(pq.read_table(shop / "val.parquet")["image"][0].as_py()["bytes"])
    lines = [
        train.format(out=base / "run", **places),
        f"{train.format(out=base / 'tuned', **places)} --pretrained {base / 'run' / 'model.safetensors'}",
        LINES["caption fit"].format(out=base / "captioner", **places),
        LINES["evaluate captioning"].format(out=base / "scores", **places),
        LINES["study"].format(out=base / "study", **places),
    ]
    for line in lines:
        answer = run_command(*shlex.split(line))
        assert answer.status == 0, answer
    return places


WRITERS = {
    name.removeprefix("e2 "): {parameter.name for parameter in command.params}
    for name, command in every_command()
    if "out" in {parameter.name for parameter in command.params}
}


def test_every_command_that_writes_is_here():
    assert set(WRITERS) == set(LINES) | set(ELSEWHERE)


def made_by_others(out):
    """A folder of another program that holds all our names."""
    for name in NAMES:
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (out / name).write_text(json.dumps({"made by": "another program"}))
    return out


@pytest.mark.parametrize("command", LINES)
def test_an_address_is_no_folder(made, tmp_path, command, monkeypatch):
    monkeypatch.chdir(tmp_path)
    answer = run_command(*shlex.split(LINES[command].format(out="s3://bucket/out", **made)))
    assert answer.status == 2 and "it is an address" in answer.err, answer
    assert not os.listdir()


@pytest.mark.parametrize("options", ["", "--overwrite", "--resume"])
@pytest.mark.parametrize("command", LINES)
def test_what_others_made_stays(made, tmp_path, command, options):
    if options and options[2:] not in WRITERS[command]:
        pytest.skip(f"{command} has no {options}")
    out = made_by_others(tmp_path / "out")
    before = contents(out)
    answer = run_command(*shlex.split(f"{LINES[command].format(out=out, **made)} {options}"))
    after = contents(out)
    assert {name: after.get(name) for name in before} == before, command
    assert answer.status == 2 and "Traceback" not in answer.err, answer


@pytest.mark.parametrize("options", ["", "--overwrite", "--resume"])
@pytest.mark.parametrize("foreign", ["run", "captioner", "photos"])
def test_a_quickstart_takes_no_folder_of_something_else(made, monkeypatch, foreign, options):
    monkeypatch.setattr("e2.benchmarks.quickstart.run.start_run", lambda *_, **__: pytest.fail("it trains"))
    before = contents(Path(made[foreign]))
    answer = run_command("quickstart", "--out", made[foreign], *options.split())
    assert answer.status == 2 and "holds" in answer.line and contents(Path(made[foreign])) == before


def test_a_quickstart_goes_on_in_its_own_folder(tmp_path, monkeypatch):
    def stop(*_, **__):
        raise TrainingStopped("stopped")

    monkeypatch.setattr("e2.benchmarks.quickstart.run.start_run", stop)
    assert "stopped" in run_command("quickstart", "--out", tmp_path / "out").line
    (tmp_path / "out" / "clip").mkdir()
    assert "--resume" in run_command("quickstart", "--out", tmp_path / "out").line
    for options in ("--resume", "--overwrite"):
        assert "stopped" in run_command("quickstart", "--out", tmp_path / "out", options).line


@pytest.mark.parametrize("command", LINES)
def test_a_folder_of_others_is_refused_before_any_work(made, tmp_path, monkeypatch, command):
    """No network is built, no photo decoded, no catalogue opened, and nothing is said but the refusal."""

    def work(*_, **__):
        raise AssertionError("work was done before the refusal")

    monkeypatch.setattr(torch.nn.Module, "__init__", work)
    monkeypatch.setattr(PIL.Image, "open", work)
    monkeypatch.setattr(pyarrow.parquet, "ParquetFile", work)
    monkeypatch.setattr(e2.progress, "EVERY", 0.0)  # every bar is a line on stderr at once
    answer = run_command(*shlex.split(LINES[command].format(out=made_by_others(tmp_path / "out"), **made)))
    assert answer.status == 2 and answer.err == answer.line + "\n" and not answer.out, answer
    assert str(tmp_path / "out") in answer.line


def stable(names) -> set[str]:
    """Names without what tensorboard and an index make up anew each time."""
    return {re.sub(r"^products-[0-9a-f]{8}", "products", name) for name in names if not name.startswith("tensorboard/")}


@pytest.mark.parametrize("command", [name for name in LINES if "overwrite" in WRITERS[name]])
def test_our_own_is_replaced_on_request_only(made, tmp_path, command):
    if command == "data amazon-fashion":
        pytest.skip("fetches photos; tests/e2/data/test_amazon_build.py does the same with a server")
    out, line = tmp_path / "out", LINES[command].format(out=tmp_path / "out", **made)
    assert (first := run_command(*shlex.split(line))).status == 0, first
    before = contents(out)
    again = run_command(*shlex.split(line))
    assert again.status == 2 and "--overwrite" in again.line and contents(out) == before
    assert (replaced := run_command(*shlex.split(f"{line} --overwrite"))).status == 0, replaced
    assert stable(contents(out)) == stable(before)
    (out / "notes.txt").write_text("mine")
    before = contents(out)
    if command not in ("caption write", "data entities"):  # a file among others
        kept = run_command(*shlex.split(f"{line} --overwrite"))
        assert kept.status == 2 and "notes.txt" in kept.line and contents(out) == before
        (out / "notes.txt").unlink()
    for ledger in tmp_path.rglob(LEDGER):  # as versions were that kept none
        ledger.unlink()
    before = contents(out)
    old = run_command(*shlex.split(f"{line} --overwrite"))
    assert old.status == 2 and contents(out) == before
    assert all(words in old.line for words in (str(out), LEDGER, "earlier versions", "choose another")), old.line


@pytest.mark.parametrize("command", ["caption fit", "train", "embed", "data import", "export", "compose fit", "index build"])
def test_one_kind_is_not_replaced_by_another(made, tmp_path, command):
    """A captioner's --overwrite spares an encoder's checkpoint, and so on."""
    out = tmp_path / "out"
    shutil.copytree(made["captioner" if command == "train" else "run"], out)
    before = contents(out)
    answer = run_command(*shlex.split(f"{LINES[command].format(out=out, **made)} --overwrite"))
    assert answer.status == 2 and contents(out) == before, answer


OPENERS = {
    "claim": lambda out: claim(out, THING, overwrite=True, remove=False),
    "load_encoder": lambda out: load_encoder(f"local-dir:{out}"),
    "open_catalogue": lambda out: open_catalogue(f"{out}/train.parquet"),
    "read_record": read_record,
    "read_export": read_export,
}
THING = OutputKind("a thing", finished="done.json", begun="part-*", names=("done.json", "part-0", "parts"))


def write_thing(out, text):
    with output_folder(out, THING, overwrite=True) as folder:
        (folder / "done.json").write_text(text)


def test_a_failed_replacement_leaves_the_old_one(tmp_path):
    write_thing(tmp_path / "out", "old")
    with pytest.raises(RuntimeError), output_folder(tmp_path / "out", THING, overwrite=True) as folder:
        (folder / "done.json").write_text("new")
        raise RuntimeError
    assert (tmp_path / "out" / "done.json").read_text() == "old"
    write_thing(tmp_path / "out", "new")
    assert (tmp_path / "out" / "done.json").read_text() == "new"


@pytest.mark.parametrize("manner", ["before", "after"])
@pytest.mark.parametrize("rename", range(3))
@pytest.mark.parametrize("opened_by", ["claim", "load_encoder", "open_catalogue", "read_record", "read_export"])
def test_a_kill_while_one_takes_the_others_place(tmp_path, rename, manner, opened_by):
    """At each kill the old one or the new one is whole, and under its name as soon as somebody asks for it."""
    out = tmp_path / "out"
    write_thing(out, "old")
    child = os.fork()
    if not child:
        original, count = os.rename, iter(range(9))

        def killed(*names):
            if (last := next(count) == rename) and manner == "before":
                os.kill(os.getpid(), signal.SIGKILL)
            original(*names)
            if last:
                os.kill(os.getpid(), signal.SIGKILL)

        os.rename = killed
        write_thing(out, "new")
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    with contextlib.suppress(InputError):  # a thing is none of what these open
        OPENERS[opened_by](out)
    assert contents(out) == {"done.json": b"new" if rename == 2 or (rename, manner) == (1, "after") else b"old"}
    write_thing(out, "newer")
    assert contents(out) == {"done.json": b"newer"} and not aside(out).exists()


def test_what_others_put_aside_is_not_given_our_name(tmp_path):
    aside(tmp_path / "out").mkdir()
    (aside(tmp_path / "out") / "notes.txt").write_text("mine")
    claim(tmp_path / "out", THING)
    assert not (tmp_path / "out").exists() and (aside(tmp_path / "out") / "notes.txt").read_text() == "mine"


def test_the_folder_that_a_link_leads_to_is_replaced(tmp_path):
    write_thing(tmp_path / "there", "old")
    (tmp_path / "link").symlink_to(tmp_path / "there")
    write_thing(tmp_path / "link", "new")
    assert (tmp_path / "link").is_symlink() and contents(tmp_path / "there") == {"done.json": b"new"}


def test_what_a_claim_finds(tmp_path):
    out = tmp_path / "out"
    assert claim(out, THING) == "new" and not out.exists()
    record_folder(out, THING)
    (out / "part-0").write_text("half")
    assert claim(out, THING, resume=True) == "begun"
    with pytest.raises(InputError, match="an unfinished thing"):
        claim(out, THING)
    (out / "done.json").write_text("whole")
    assert claim(out, THING, resume=True) == "finished"
    with pytest.raises(InputError, match="a finished thing already"):
        claim(out, THING)
    with pytest.raises(InputError, match="holds a thing, not another"):
        claim(out, OutputKind("another"), overwrite=True)
    assert claim(out, THING, overwrite=True) == "new" and not (out / "done.json").exists()


@pytest.mark.parametrize("line", ["", "[", '["a"', "[1]", '["only"]', "\x00\xff", '{"name": 1}'])
def test_a_damaged_ledger_makes_nothing_ours(tmp_path, line):
    (tmp_path / LEDGER).write_text(line + "\n")
    (tmp_path / "a").write_text("x")
    assert not is_ours(tmp_path / "a")
    with pytest.raises(InputError, match="not written by e2"), atomic_path(tmp_path / "a"):
        pass
    record_folder(tmp_path, THING)
    assert is_ours(tmp_path / "part-0")

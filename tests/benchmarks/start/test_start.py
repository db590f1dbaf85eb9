"""`e2 start`: the whole way by the commands themselves, resumable, with a person's edits respected."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import typer

from e2 import commands
from e2.adapters.search.index import open_index
from e2.benchmarks.start.run import FirstDay, first_day, training_options
from e2.benchmarks.start.steps import StepRecord
from e2.checkpoint import read_config
from e2.data.command import ImportTableOptions
from e2.errors import InputError
from tests.command import contents, run_command

STEPS = ["import", "entities", "check", "train", "evaluate", "index", "index val", "index test"]


def start(table, out, *further):
    return run_command("start", table, "--out", out, "--backbone", "test-tiny", "--epochs", 1, "--device", "cpu", *further)


def steps_of(out) -> dict:
    return json.loads((out / "start.json").read_text())["steps"]


def finished(out) -> dict[str, float]:
    return {name: step["finished"] for name, step in steps_of(out).items() if step["seconds"] is not None}


@pytest.fixture(scope="module")
def table(shop, tmp_path_factory):
    """One table of 72 products without splits, with several tags in a cell."""
    rows = [row for split in ("train", "val") for row in pq.read_table(shop / f"{split}.parquet").to_pylist()]
    for number, row in enumerate(rows):
        row["title"], row["tags"] = row.pop("caption"), f"{row.pop('colour')} | {('casual', 'sport')[number % 2]}"
        row["description"] = f"<p>Made of {('100% cotton', '95 % polyester, 5 % elastane')[number % 2]}. No {number}</p>"
    file = tmp_path_factory.mktemp("export") / "products.parquet"
    pq.write_table(pa.Table.from_pylist(rows), file)
    return file


@pytest.fixture(scope="module")
def done(table, tiny, tmp_path_factory):
    out = tmp_path_factory.mktemp("day") / "start"
    answer = start(table, out)
    assert answer.status == 0, answer
    return out, answer


class Stage:
    """Runs the commands that read tables; the others only leave what they would."""

    def __init__(self, table, out):
        self.day, self.lines = FirstDay(str(table), out), []

    def __call__(self, words):
        self.lines.append(words)
        out = Path(words[words.index("--out") + 1]) if "--out" in words else None
        if words[:2] in (["data", "import"], ["data", "entities"]):
            typer.main.get_command(commands.app).main(words, prog_name="e2", standalone_mode=False)
        elif out:
            for name in ("check.json", "summary.json", "metrics.json"):
                out.mkdir(exist_ok=True)
                (out / name).write_text(json.dumps(words))

    def run(self, **options) -> list[str]:
        """Gives the command; returns the steps that ran."""
        self.lines = []
        before = finished(self.day.out) if (self.day.out / "start.json").exists() else {}
        first_day(replace(self.day, **options), self)
        return [name for name, when in finished(self.day.out).items() if before.get(name) != when]


@pytest.fixture
def stage(table, tmp_path):
    copied = shutil.copy(table, tmp_path)
    return Stage(copied, tmp_path / "out")


def test_the_whole_way(done, table):
    out, answer = done
    steps = steps_of(out)
    assert list(steps) == STEPS and all(step["seconds"] >= 0 for step in steps.values())
    assert [line.removeprefix("$ ") for line in answer.out.splitlines() if line.startswith("$ ")] == [
        step["command"] for step in steps.values()
    ]
    assert steps["import"]["command"] == f"e2 data import {table} --val 0.05 --test 0.1 --out {out / 'data'}"
    assert f"e2 app --index {out / 'index'}" in answer.out.splitlines()[-1]
    config = read_config(out / "model")["training"]
    assert config["method"] == "e2" and {"colour", "brand", "season", "composition"} <= set(config["data"]["tags"])
    assert json.loads((out / "retrieval" / "metrics.json").read_text())["split"] == "test"
    assert len(open_index(str(out / "index"))) == 72
    assert {path.name for path in out.iterdir()} >= {"data", "entities.yaml", "check", "model", "retrieval", "index"}


def test_called_again_nothing_runs_twice(done, table):
    out, _ = done
    before, when = contents(out), finished(out)
    answer = start(table, out)
    assert answer.status == 0 and "$ " not in answer.out
    assert [line.partition(":")[0] for line in answer.out.splitlines() if "done before" in line] == STEPS
    assert finished(out) == when and contents(out) == before


def test_edited_entities_are_kept_and_used(stage, capsys):
    assert stage.run() == STEPS
    file = stage.day.out / "entities.yaml"
    file.write_text(edited := "colour:\n  column: tags\n  separator: '|'\n")
    assert stage.run() == STEPS[2:] and file.read_text() == edited
    assert "which you wrote or edited" in capsys.readouterr().out
    assert [line[-1] for line in stage.lines if line[0] == "train"] == ["--overwrite"]
    assert stage.run() == []
    pq.write_table(pq.read_table(stage.day.spec).slice(0, 50), stage.day.spec)
    assert stage.run() == ["import", *STEPS[2:]] and file.read_text() == edited


def test_a_table_that_changed_is_imported_anew(stage):
    stage.run()
    pq.write_table(pq.read_table(stage.day.spec).slice(0, 60), stage.day.spec)
    assert stage.run() == STEPS
    assert sum(json.loads((stage.day.out / "data" / "import.json").read_text())["splits"].values()) == 60


def test_other_settings_repeat_what_depends_on_them(stage):
    stage.run()
    assert stage.run(epochs=2) == ["train", "evaluate", "index", "index val", "index test"]
    assert stage.run(epochs=2, tags="brand") == STEPS[2:]
    (stage.day.out / "check" / "check.json").unlink()
    assert stage.run(epochs=2, tags="brand") == ["check"]


def test_a_frozen_tower_runs_once_for_all_that_look_at_photos(stage):
    stage.run(backbone="local-dir:clip")
    looking = [line for line in stage.lines if line[:1] == ["train"] or line[0] in ("evaluate", "index")]
    assert len(looking) == 5  # the index of train, and two updates of it
    for line in looking:
        assert line[line.index("--cache") + 1] == str(stage.day.out / "cache")
    stage.run()
    assert not any("--cache" in line for line in stage.lines)


def test_another_table_is_refused(done, shop):
    out, _ = done
    before = contents(out)
    answer = start(shop, out)
    assert answer.status == 2 and f"{out} was begun with" in answer.line and contents(out) == before


def test_a_folder_of_splits_is_read_where_it_is(shop, tmp_path):
    stage = Stage(shop, tmp_path / "out")
    assert stage.run(tags="brand,colour") == ["check", "train", "evaluate", "index", "index val"]
    (evaluated,) = (line for line in stage.lines if line[0] == "evaluate")
    assert evaluated[evaluated.index("--split") + 1] == "val" and str(shop) in evaluated


def test_options_of_tables_go_to_every_command_that_reads_them(shop, tmp_path):
    folder = tmp_path / "shop"
    folder.mkdir()
    for split in ("train", "val"):
        rows = pq.read_table(shop / f"{split}.parquet").rename_columns({"caption": "words"})
        pq.write_table(rows, folder / f"{split}.parquet")
    stage = Stage(folder, tmp_path / "out")
    stage.run(table=ImportTableOptions(caption_column="words"))
    assert all("--caption-column words" in " ".join(line) for line in stage.lines)


def test_without_tags_plain_clip_is_trained(shop, tmp_path, capsys):
    table = tmp_path / "plain.parquet"
    pq.write_table(pq.read_table(shop / "train.parquet", columns=["product_id", "image", "caption"]), table)
    stage = Stage(table, tmp_path / "out")
    stage.run()
    (trained,) = (line for line in stage.lines if line[0] == "train")
    assert "--tags" not in trained and trained[trained.index("--method") + 1] == "clip"
    assert "going on without" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("further", "said"),
    [
        ([], "nothing.csv: there is no such file"),
        (["--caption", "{name}"], "'name', which is not a column"),
        (["--caption", "name"], "is not a template"),
        (["--group-by", "article"], "no column 'article'"),
        (["--id-column", "number"], "no column 'number'"),
        (["--tags", "rules.yaml"], "nothing: column"),
        (["--tags", "other.yaml"], "no column 'colours'"),
        (["--tags", "colour=colours"], "no column 'colours'"),
        (["--backbone", "ViT-none"], "ViT-none"),
        (["--pretrained", "none.safetensors"], "none.safetensors"),
    ],
)
def test_bad_input_is_one_line(table, tiny, tmp_path, monkeypatch, further, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rules.yaml").write_text("nothing:\n  part: 1\n")
    (tmp_path / "other.yaml").write_text("colour:\n  column: colours\n")
    answer = run_command("start", table if further else "nothing.csv", "--out", "out", "--backbone", "test-tiny", *further)
    assert answer.status == 2 and said in answer.line, answer
    assert not (tmp_path / "out" / "model").exists()


class Stopped(Exception):
    pass


def test_a_stopped_step_goes_on_and_one_with_other_inputs_is_replaced(tmp_path):
    called, output = [], tmp_path / "thing"

    def call(words):
        called.append(words)
        if len(called) == 1:
            raise Stopped
        output.write_text("made")

    def do(inputs):
        record = StepRecord(tmp_path / "start.json", "shop.csv", call)
        record.do("train", "train", "--out", output, inputs=inputs, output=output, resumes=True, replaces=True)

    with pytest.raises(Stopped):
        do(["a"])
    for inputs in ("a", "a", "b", "b"):
        do([inputs])
    output.unlink()
    do(["b"])
    line = ["train", "--out", str(output)]
    assert called == [line, [*line, "--resume"], [*line, "--overwrite"], [*line, "--overwrite"]]


@pytest.mark.parametrize("content", ["", "[]", '{"data": "shop.csv", "steps": {"train": 1}}', "[" * 10_000])
def test_a_damaged_record_is_one_line(tmp_path, content):
    record = StepRecord(tmp_path / "start.json", "shop.csv", print)
    record._write()
    (tmp_path / "start.json").write_text(content)
    with pytest.raises(InputError, match=r"start\.json is damaged; remove it"):
        StepRecord(tmp_path / "start.json", "shop.csv", print)


def test_options_of_a_training_by_size(tmp_path):
    def words(products, **options):
        return " ".join(training_options(FirstDay("shop.csv", tmp_path, **options), products, True))

    assert words(60).endswith("--method e2 --epochs 30 --batch-size 8")
    assert words(20_000).endswith("--epochs 3 --batch-size 128")
    assert words(10**6).endswith("--epochs 1 --batch-size 128")
    assert "image_layers" not in words(60, backbone="e2-tiny")
    for pretrained in ({"backbone": "local-dir:clip"}, {"backbone": "ViT-B-32", "pretrained": "openai"}):
        assert "--set optim.image_layers=0" in words(2_549, **pretrained)
        assert words(2_549, **pretrained).endswith("--epochs 6 --batch-size 128")

"""Mutated tables, photos, settings and checkpoints through the real commands.

Each case either works or ends in one line, never in another exception, and leaves nothing half-written. The short form runs
always, the long one (``-m slow``) has some hundreds of cases.
"""

import copy
import io
import json
import math
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from e2.data.images import BadImage, check_image, load_image
from tests.command import Answer, contents, run_command
from tests.conftest import jpeg

SHORT, LONG = 6, 60
lengths = pytest.mark.parametrize("cases", [SHORT, pytest.param(LONG, marks=pytest.mark.slow)])
QUICK = ("--backbone", "test-tiny", "--workers", "0", "--device", "cpu", "--batch-size", "4", "--steps", "2")
EVALUATE = ("evaluate", "retrieval", "--split", "val", "--workers", "0", "--device", "cpu", "--batch-size", "8")
TAGS = ("--tags", "brand,season")
PIXELS = np.random.default_rng(0).integers(0, 256, (24, 20, 4), dtype=np.uint8)


def check(property_, strategy, cases: int) -> None:
    """Runs a property over so many cases, always the same ones."""
    quiet = settings(
        max_examples=cases, derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck)
    )
    quiet(given(strategy)(property_))()


def accept(answer: Answer, *statuses: int) -> None:
    """The command did its work, or said in one line why not."""
    assert answer.status in (0, *statuses), answer
    if answer.status:
        assert len(answer.line) > 10


# --- mutations ----------------------------------------------------------------------------------------------------


@st.composite
def broken(draw, data: bytes) -> bytes:
    """The bytes after one to four random injuries: bits flipped, a piece cut out, zeroed, doubled or put in, the end lost."""
    data = bytearray(data)
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, max(0, len(data) - 1)))
        end = min(len(data), start + draw(st.sampled_from([1, 2, 8, 64, 4096])))
        kind = draw(st.sampled_from(["flip", "cut", "zero", "double", "insert", "end"]))
        if kind == "flip" and data:
            data[start] ^= 1 << draw(st.integers(0, 7))
        elif kind == "cut":
            del data[start:end]
        elif kind == "zero":
            data[start:end] = bytes(end - start)
        elif kind == "double":
            data[start:start] = data[start:end]
        elif kind == "insert":
            data[start:start] = draw(st.binary(max_size=16))
        else:
            del data[start:]
    return bytes(data)


# Layers and widths stay small: a description of a huge model is not a mistake, and would only fill the memory.
ODD = [None, True, -1, 0, 1, 3, 2.5, "", "x", "a\nb\x1b[31m", [], {}, [1, 2], ["x"], {"brand": 1}, math.nan, math.inf, 2**70]


@st.composite
def altered(draw, tree: dict) -> dict:
    """A nested structure with one to three of its values replaced, removed or joined by strangers."""
    tree = json.loads(json.dumps(tree))
    for _ in range(draw(st.integers(1, 3))):
        node = tree
        while True:
            keys = sorted(node) if isinstance(node, dict) else range(len(node))
            key = draw(st.sampled_from(list(keys)))
            if not (isinstance(node[key], dict | list) and node[key]) or draw(st.integers(0, 4)) == 0:
                break
            node = node[key]
        kind = draw(st.sampled_from(["replace", "replace", "remove", "add"]))
        if kind == "replace" or isinstance(node, list):
            node[key] = copy.deepcopy(draw(st.sampled_from(ODD)))
        elif kind == "remove" and len(node) > 1:
            del node[key]
        else:
            node[draw(st.sampled_from(["stranger", "", "a\nb"]))] = copy.deepcopy(draw(st.sampled_from(ODD)))
    return tree


# --- tables -------------------------------------------------------------------------------------------------------

WORDS = [None, "", "nan", "\u2028", "a\nb", "\x1b[31mred", "x" * 10_000, "👗", "فستان", "{tag}", "[bold]", '"', ",\t"]
CELLS = st.one_of(
    st.sampled_from(WORDS),
    st.text(max_size=20),
    st.integers(-5, 2**40),
    st.floats(),
    st.lists(st.one_of(st.none(), st.text(max_size=5), st.integers(0, 9)), max_size=3),
    st.dictionaries(st.text(max_size=4), st.integers(), max_size=2),
    st.booleans(),
    st.binary(max_size=9),
)


def sound_rows(count: int, image) -> list[dict]:
    """Records of every usual column."""
    return [
        {"product_id": f"p{i}", "image": image, "caption": f"Tee {i}", "brand": "NP"[i % 2], "season": "Summer"}
        for i in range(count)
    ]


@pytest.fixture
def tables(tmp_path, monkeypatch) -> Path:
    """A folder with one sound table of each kind, a photo beside them, and a cache of its own."""
    monkeypatch.setenv("E2_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "tables"
    folder.mkdir()
    (folder / "a.jpg").write_bytes(jpeg((200, 30, 30), 0, 16))
    pq.write_table(pa.Table.from_pylist(sound_rows(6, (folder / "a.jpg").read_bytes())), folder / "t.parquet")
    rows = sound_rows(6, "a.jpg")
    pa.csv.write_csv(pa.Table.from_pylist(rows), folder / "t.csv")
    (folder / "t.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return folder


def import_(table: Path, policy: str) -> None:
    """Imports a table into a new folder, which then is there, and readable, or not there at all."""
    out = table.parent / "out"
    answer = run_command("data", "import", table, "--out", out, *TAGS, "--on-bad-row", policy)
    accept(answer, 2)
    left = {path.name for path in table.parent.iterdir() if "out" in path.name}
    assert left == ({"out"} if answer.status == 0 else set())
    if answer.status == 0:
        assert pq.read_table(out / f"{table.stem}.parquet").num_rows > 0
        shutil.rmtree(out)


@lengths
@pytest.mark.parametrize("kind", ["parquet", "csv", "jsonl"])
def test_tables_of_broken_bytes(tables, kind, cases):
    sound, table = (tables / f"t.{kind}").read_bytes(), tables / f"broken.{kind}"

    def property_(case):
        table.write_bytes(case[0])
        import_(table, case[1])

    check(property_, st.tuples(broken(sound), st.sampled_from(["skip", "error"])), cases)


@lengths
@pytest.mark.parametrize("kind", ["parquet", "jsonl"])
def test_tables_of_odd_cells(tables, kind, cases):
    rows, table = sound_rows(4, "a.jpg"), tables / f"odd.{kind}"
    columns = [*rows[0], "regions"]

    def property_(case):
        column, cells, policy = case
        changed = [{**row, column: cell} for row, cell in zip(rows, cells, strict=True)]
        if kind == "jsonl":
            table.write_text("\n".join(json.dumps(row, default=str) for row in changed))
        else:
            try:
                pq.write_table(pa.Table.from_pylist(changed), table)
            except (pa.ArrowException, TypeError, OverflowError, UnicodeEncodeError):
                return  # cells of mixed kinds are no parquet column
        import_(table, policy)

    cells = st.one_of(st.lists(CELLS, min_size=4, max_size=4), CELLS.map(lambda cell: [cell] * 4))
    check(property_, st.tuples(st.sampled_from(columns), cells, st.sampled_from(["skip", "error"])), cases)


# --- photos -------------------------------------------------------------------------------------------------------


def encoded(kind: str) -> bytes:
    """A small picture of a format."""
    buffer = io.BytesIO()
    Image.fromarray(PIXELS).convert("RGB" if kind in ("JPEG", "MPO") else "RGBA").save(buffer, kind)
    return buffer.getvalue()


@lengths
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP"])
def test_broken_photos(kind, cases):
    def property_(data):
        for use in (check_image, load_image):
            try:
                picture = use(data)
            except BadImage as error:
                assert "\n" not in str(error)
            else:
                assert picture is None or picture.mode == "RGB"

    check(property_, broken(encoded(kind)), 5 * cases)


@lengths
def test_broken_photos_in_a_catalogue(tables, cases):
    sound = [encoded(kind) for kind in ("JPEG", "PNG", "TIFF")]

    def property_(case):
        photo, policy = case
        rows = [{**row, "image": data} for row, data in zip(sound_rows(4, None), [*sound, photo], strict=True)]
        pq.write_table(pa.Table.from_pylist(rows), tables / "photos.parquet")
        import_(tables / "photos.parquet", policy)
        accept(run_command("data", "info", tables / "photos.parquet", *TAGS, "--on-bad-row", policy), 2)

    check(property_, st.tuples(st.sampled_from(sound).flatmap(broken), st.sampled_from(["skip", "error"])), cases)


# --- settings -----------------------------------------------------------------------------------------------------

SETTINGS = yaml.safe_load("""
{method: e2, preset: default, seed: 0, precision: fp32, image_size: 32, eval_every: 1, save_every: 1, patience: 5,
 wise_ft: null, pretrained: null,
 model: {tokens: {brand: 2}, locations: local, attention: one-way, layers: [2, 3], selector: hard, temperature: 1.0, rank: 4,
         reader: default},
 loss: {global_weight: 1.0, region_weight: 0.5, image_tag_weight: 0.1, tag_scale: 30.0, same_tag_positive: true,
        centre_tags: true, region_prompt: "{entity} {tag}", kind: auto, max_logit_scale: 100.0,
        temperature: [0.1, 0.05], negatives: 1, late_weight: 1.0, distill_weight: 0.0},
 optim: {lr: 0.001, new_lr: 0.001, weight_decay: 0.1, betas: [0.9, 0.98], warmup: 0.1, final_lr: 0.0, clip_norm: 1.0,
         new_only: 0.1, image_layers: 1, text_lora: 1},
 data: {tags: [brand, season], tag_columns: {brand: brand}, text: full, augment: none, chunk_size: 2, on_bad_row: error}}
""")


def train_(shop: Path, out: Path, *arguments: object) -> None:
    """Trains for two steps into a new folder; a refusal leaves no folder behind, a run that breaks off a sound one."""
    shutil.rmtree(out, ignore_errors=True)  # of the case before
    answer = run_command("train", "--data", shop, *QUICK, "--out", out, *arguments)
    accept(answer, 1, 2)
    assert answer.status != 2 or not out.exists(), answer


@lengths
def test_altered_settings(shop, tiny, tmp_path, cases):
    def property_(content):
        (tmp_path / "run.yaml").write_text(yaml.safe_dump(content))
        train_(shop, tmp_path / "run", "--config", tmp_path / "run.yaml")

    check(property_, altered(SETTINGS), 2 * cases)


@lengths
def test_settings_of_broken_bytes(shop, tiny, tmp_path, cases):
    def property_(data):
        (tmp_path / "run.yaml").write_bytes(data)
        train_(shop, tmp_path / "run", "--config", tmp_path / "run.yaml", *TAGS)

    check(property_, broken(yaml.safe_dump(SETTINGS).encode()), cases)


@lengths
def test_odd_set_options(shop, tiny, tmp_path, cases):
    keys = [f"{part}.{key}" for part, values in SETTINGS.items() if isinstance(values, dict) for key in values]
    values = st.one_of(st.sampled_from(ODD).map(str), st.text("0123456789.-+e{}[]:,'\"!&*#|>%@ ax\n", max_size=8))

    def property_(case):
        key, value = case
        train_(shop, tmp_path / "run", *TAGS, "--set", f"{key}={value}")

    check(property_, st.tuples(st.sampled_from([*keys, "seed", "", "x", "data"]), values), cases)


# --- checkpoints --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trained(shop, tiny, tmp_path_factory) -> Path:
    """A finished run."""
    out = tmp_path_factory.mktemp("fuzz") / "run"
    assert run_command("train", "--data", shop, *QUICK, *TAGS, "--out", out).status == 0
    return out


@pytest.fixture(scope="module")
def stopped(shop, tiny, tmp_path_factory) -> Path:
    """A run that broke off after its third of four steps."""
    out = tmp_path_factory.mktemp("fuzz") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("e2.training.run.weights_sha256", lambda out: 1 / 0)  # between the last step and the summary
        with pytest.raises(ZeroDivisionError):
            run_command("train", "--data", shop, *QUICK, *TAGS, "--set", "save_every=1", "--out", out)
    return out


def evaluate_(model: Path, shop: Path) -> None:
    """Measures a model; on failure there are no figures."""
    out = model / "measured"
    answer = run_command(*EVALUATE, "--data", shop, "--model", model, "--out", out)
    accept(answer, 2)
    assert (out / "metrics.json").exists() == (answer.status == 0)
    shutil.rmtree(out, ignore_errors=True)


@lengths
def test_checkpoints_with_an_altered_config(shop, trained, tmp_path, cases):
    model = shutil.copytree(trained, tmp_path / "model")

    def property_(content):
        (model / "config.json").write_text(json.dumps(content))
        evaluate_(model, shop)

    check(property_, altered(json.loads((trained / "config.json").read_text())), 2 * cases)


@lengths
@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_checkpoints_of_broken_bytes(shop, trained, tmp_path, name, cases):
    model = shutil.copytree(trained, tmp_path / "model")

    def property_(data):
        (model / name).write_bytes(data)
        evaluate_(model, shop)

    sound = (trained / name).read_bytes()
    head, tail = sound[:20_000], sound[20_000:]  # injuries where the structure is
    check(property_, broken(head).map(lambda data: data + tail), cases)


def resume_(shop: Path, out: Path) -> None:
    """Resumes a run; a refusal changes nothing in it."""
    before = contents(out)
    answer = run_command("train", "--data", shop, *QUICK, *TAGS, "--set", "save_every=1", "--out", out, "--resume")
    accept(answer, 1, 2)
    assert answer.status != 2 or contents(out) == before


@lengths
@pytest.mark.parametrize("name", ["state.json", "state.safetensors", "log.csv", "config.json", "summary.json"])
def test_resuming_what_is_broken(shop, trained, stopped, tmp_path, name, cases):
    source, out = trained if name == "summary.json" else stopped, tmp_path / "run"
    (file,) = (path.relative_to(source) for path in source.rglob(name))
    sound = (source / file).read_bytes()
    injured = broken(sound[:20_000]).map(lambda data: data + sound[20_000:])
    if name.endswith(".json"):
        injured = st.one_of(injured, altered(json.loads(sound)).map(lambda content: json.dumps(content).encode()))

    def property_(data):
        shutil.rmtree(out, ignore_errors=True)
        shutil.copytree(source, out)
        (out / file).write_bytes(data)
        resume_(shop, out)

    check(property_, injured, cases)

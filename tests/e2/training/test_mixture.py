"""Training on several catalogues at once."""

import json
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from e2.checkpoint import LAST, WEIGHTS
from e2.data import open_catalogue
from e2.data.fingerprint import fingerprint
from e2.data.mixture import Mixture
from e2.errors import TrainingStopped
from e2.training.run import resolve
from e2.training.splits import open_splits
from tests.command import contents, run_command
from tests.e2.training.stops import pull_out
from tests.e2.training.test_runs import run, same

LINE = "train --backbone test-tiny --batch-size 16 --steps 4 --set save_every=1 --tags brand,season --device cpu --workers 0"


@pytest.fixture(scope="module")
def outlet(shop, tmp_path_factory) -> Path:
    """A catalogue in a file, of 20 products that have a brand, and no season."""
    file = tmp_path_factory.mktemp("outlet") / "outlet.parquet"
    rows = pq.read_table(shop / "train.parquet").slice(0, 20).drop_columns(["season"]).to_pylist()
    pq.write_table(pa.Table.from_pylist([{**row, "product_id": f"outlet-{i}"} for i, row in enumerate(rows)]), file)
    return file


def splits(*settings: str, **options: object):
    return open_splits(resolve({"data.tags": "brand,season", **options}, None, settings))


def test_products_of_all_are_trained_on_and_the_first_chooses(shop, outlet, tmp_path, capsys):
    shards = tmp_path / "shards"
    assert run_command("data", "import", outlet, "--to", "webdataset", "--tags", "brand", "--out", shards).status == 0
    spec = f"webdataset:{shards}"
    train, val = splits(**{"data.data": str(shop), "data.more": {str(outlet): 0.5, spec: 2}})
    assert isinstance(train, Mixture) and (len(train), len(val)) == (100, 12)
    assert [train[i].product_id for i in (0, 59, 60, 79, 80, 99, -1)] == [
        *("train-0", "train-59", "outlet-0", "outlet-19", "outlet-0", "outlet-19", "outlet-19")
    ]
    assert train.tags == ("brand", "season") and set(train[61].tags) == {"brand"} and "season" in train[1].tags
    assert [portion.shown for portion in train.portions] == [60, 10, 40]
    assert {product.product_id.partition("-")[0] for product in val} == {"val"}
    assert train.text_only()[70].images == (b"",)
    err = capsys.readouterr().err
    assert f"{outlet}: no season; its products go without" in err and "shop: no" not in err
    both = [open_catalogue(str(path), "train", tags=("brand",), progress=False) for path in (shop, outlet)]
    assert len({fingerprint(Mixture(found, [1, 1])) for found in (both, both[::-1], both[:1] * 2)}) == 3


def test_a_mixture_resumes_bit_for_bit(shop, outlet, tiny, tmp_path, monkeypatch, capsys):
    more = {"data.more": {str(outlet): 1.5}, "data.tags": "brand,season", "steps": 7}
    run(shop, tiny, tmp_path / "through", **more)
    assert f"{outlet}: 20 products, 30 shown an epoch" in capsys.readouterr().err
    pull_out(monkeypatch, before=6)
    with pytest.raises(TrainingStopped, match="pulled out"):
        run(shop, tiny, tmp_path / "broken", **more)
    monkeypatch.undo()
    run(shop, tiny, tmp_path / "broken", resume=True, **more)
    for file in (WEIGHTS, LAST):
        assert same(tmp_path / "through" / file, tmp_path / "broken" / file)


@pytest.fixture(scope="module")
def stopped(shop, outlet, tiny, tmp_path_factory) -> Path:
    """A run on two catalogues that broke off before its summary, and a copy of the second one."""
    folder = tmp_path_factory.mktemp("stopped")
    shutil.copy(outlet, folder / "outlet.parquet")
    with pytest.MonkeyPatch.context() as patch, pytest.raises(ZeroDivisionError):
        patch.setattr("e2.training.run.weights_sha256", lambda out: 1 / 0)
        train(shop, folder)
    return folder


def train(shop: Path, folder: Path, *further: object):
    return run_command(*LINE.split(), "--data", shop, "--data", folder / "outlet.parquet", "--out", folder / "run", *further)


def test_changes_of_any_catalogue_are_refused(shop, stopped):
    table = stopped / "outlet.parquet"
    sound, before = table.read_bytes(), contents(stopped / "run")
    assert json.loads((stopped / "run" / "training" / "data.json").read_text()).keys() == {
        *("train", "val", f"{table}'s outlet")
    }
    pq.write_table(pq.read_table(table).slice(1), table)
    answer = train(shop, stopped, "--resume")
    table.write_bytes(sound)
    assert answer.status == 2 and f"{table}'s outlet products have changed since the start (20 then, 19 now)" in answer.line
    answer = train(shop, stopped, "--resume", "--set", f"data.more={{{table}: 3}}")
    assert answer.status == 2 and f"data.more.{table} = 1.0, not 3.0" in answer.line
    answer = train(shop, stopped, "--resume", "--data", "boutique")
    assert answer.status == 2 and "data.more.boutique = None, not 1.0" in answer.line
    assert contents(stopped / "run") == before


def test_a_run_on_two_says_what_it_reads(shop, stopped):
    answer = train(shop, stopped, "--resume")
    assert answer.status == 0, answer
    assert f"{shop}, {stopped / 'outlet.parquet'}: read and checked first; of {shop} its val split will choose" in answer.err


@pytest.mark.parametrize(
    ("further", "said"),
    [
        (["--data", "{shop}"], "--data names a catalogue twice"),
        (["--set", "data.more={{{shop}: 2}}"], "name each catalogue once"),
        (["--set", "data.more={{{outlet}: 0}}"], "must be above 0, got 0"),
        (["--data", "hf-stream:org/name"], "a stream can only be read once"),
        (["--data", "{outlet}", "--tags", "brand,size"], "no column 'size' in any of them"),
        (["--data", "{outlet}", "--caption-column", "text"], "no column 'text'"),
        (["--data", "{outlet}x"], "there is no such file or folder"),
    ],
)
def test_catalogues_that_do_not_fit_are_refused(shop, outlet, tiny, tmp_path, further, said):
    names = [each.format(shop=shop, outlet=outlet) for each in further]
    answer = run_command(*LINE.split(), "--data", shop, *names, "--out", tmp_path / "run")
    assert answer.status == 2 and said in answer.line, answer

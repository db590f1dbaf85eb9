"""A stopped training continues with the products it was begun with: others are refused in one line, and nothing is lost."""

import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.command import contents, run_command

LINE = "train --backbone test-tiny --batch-size 16 --steps 3 --set save_every=1 --tags brand --device cpu --workers 0"
CHANGES = {
    "text": lambda rows: rows[0].update(caption="A tee of another text"),
    "id": lambda rows: rows[0].update(product_id="another"),
    "tag": lambda rows: rows[1].update(brand="Another"),
    "photo": lambda rows: rows[0]["image"].update(bytes=rows[0]["image"]["bytes"] + b"\0"),
    "order": lambda rows: rows.reverse(),
    "row less": lambda rows: rows.pop(),
}


def train(folder: Path, *further: object):
    return run_command(*LINE.split(), "--data", folder / "shop", "--out", folder / "run", *further)


@pytest.fixture(scope="module")
def stopped(shop, tiny, tmp_path_factory) -> Path:
    """A shop, and a run that broke off between its last step and its summary."""
    folder = tmp_path_factory.mktemp("stopped")
    shutil.copytree(shop, folder / "shop")
    with pytest.MonkeyPatch.context() as patch, pytest.raises(ZeroDivisionError):
        patch.setattr("e2.training.run.weights_sha256", lambda out: 1 / 0)
        train(folder)
    return folder


@pytest.mark.parametrize("split", ["train", "val"])
@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_table_is_refused(stopped, change, split):
    table = stopped / "shop" / f"{split}.parquet"
    sound = table.read_bytes()
    rows = pq.read_table(table).to_pylist()
    CHANGES[change](rows)
    try:
        pq.write_table(pa.Table.from_pylist(rows), table)
        before = contents(stopped / "run")
        answer = train(stopped, "--resume")
    finally:
        table.write_bytes(sound)
    assert answer.status == 2 and f"{split} products have changed since the start" in answer.line
    assert contents(stopped / "run") == before


def test_the_same_products_are_gone_on_with(stopped):
    assert (answer := train(stopped, "--resume")).status == 0, answer
    assert (stopped / "run" / "summary.json").is_file()

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from e2.data import boutique, open_catalogue, splits_of
from e2.data.boutique_source import DRAWING, parse_options
from e2.errors import InputError
from tests.e2.data.conftest import rows, write_parquet

TAGS = ("brand", "season", "sub_category", "composition", "colour")


@pytest.fixture
def calls(monkeypatch):
    """The options of each drawing; the drawing itself is replaced by plain tables."""
    calls = []

    def make(folder, **options):
        calls.append(options)
        time.sleep(0.2)
        for split in ("train", "val", "test"):
            records = [record | dict.fromkeys(TAGS, "x") for record in rows(options[split])]
            write_parquet(folder / f"{split}.parquet", records)

    monkeypatch.setattr(boutique, "make_boutique", make)
    return calls


def test_is_drawn_once(calls):
    spec = "boutique:train=5,val=2,test=3"
    assert splits_of(spec) == ("train", "val", "test")
    sizes = [len(open_catalogue(spec, split, progress=False)) for split in ("train", "val", "test")]
    assert sizes == [5, 2, 3]
    assert calls == [{"train": 5, "val": 2, "test": 3, "seed": 0, "size": 224}]
    assert open_catalogue(spec, "val", progress=False).tags == TAGS
    assert open_catalogue(spec, "val", tags=["brand"], progress=False)[0].tags == {"brand": "x"}
    splits_of("boutique:train=5,val=2,test=3,seed=1")
    assert len(calls) == 2


def test_two_at_once_draw_once(calls):
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(splits_of, ["boutique:train=2,val=1,test=1"] * 2))
    assert found == [("train", "val", "test")] * 2 and len(calls) == 1


def test_a_drawing_process_never_waits_for_the_drawing(calls, monkeypatch):
    monkeypatch.setenv(DRAWING, "1")  # another process's id
    with pytest.raises(InputError, match="__main__"):
        splits_of("boutique")


@pytest.mark.parametrize("wrong", ["trian=4", "train", "train=x", "train=-1", "seed=1.5"])
def test_wrong_options(wrong):
    with pytest.raises(InputError, match="^boutique: "):
        splits_of(f"boutique:{wrong}")


def test_defaults():
    assert parse_options("") == {"train": 4000, "val": 300, "test": 1000, "seed": 0, "size": 224}
    assert parse_options(" seed = 3 ,")["seed"] == 3

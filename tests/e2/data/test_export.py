import json
import tarfile

import pyarrow.parquet as pq
import pytest

from e2.data import open_catalogue
from e2.data.export import import_catalogue
from e2.errors import InputError
from e2.outputs import LEDGER
from tests.e2.data.conftest import encoded, photo, rows, write_parquet


def test_everything_comes_back(tmp_path):
    records = rows(5)
    records[0] |= {"regions": '{"brand": [0.0, 0.25, 0.5, 1.0]}', "season": None}
    write_parquet(tmp_path / "shop/train.parquet", records)
    write_parquet(tmp_path / "shop/test.parquet", rows(2, start=5))
    tags = ["brand", "season"]
    assert import_catalogue(str(tmp_path / "shop"), tmp_path / "out", tags=tags, progress=False) == {"train": 5, "test": 2}
    for split in ("train", "test"):
        before = open_catalogue(str(tmp_path / "shop"), split, tags=tags, progress=False)
        after = open_catalogue(str(tmp_path / "out"), split, tags=tags, progress=False)
        assert list(after) == list(before)


def test_image_files_and_several_captions_go_into_the_table(tmp_path):
    (tmp_path / "a.jpg").write_bytes(encoded(photo()))
    file = tmp_path / "a.jsonl"
    file.write_text('{"product_id": 1, "image": "a.jpg", "caption": ["One", "Two"]}\n')
    import_catalogue(str(file), tmp_path / "out", progress=False)
    product = open_catalogue(str(tmp_path / "out" / "a.parquet"), progress=False)[0]
    assert product.images == ((tmp_path / "a.jpg").read_bytes(),) and product.captions == ("One", "Two")


@pytest.mark.parametrize("to", ["parquet", "webdataset"])
def test_several_values_of_a_tag_come_back_and_are_lists(to, tmp_path):
    records = rows(3)
    records[0]["colour"], records[1]["colour"] = "red | blue", "red"
    write_parquet(tmp_path / "a.parquet", records)
    options = {"tags": ["brand", "colour"], "progress": False}
    import_catalogue(str(tmp_path / "a.parquet"), tmp_path / "out", to=to, **options)
    spec = tmp_path / "out" / "a.parquet" if to == "parquet" else f"webdataset:{tmp_path / 'out'}"
    after = open_catalogue(str(spec), **options)
    assert list(after) == list(open_catalogue(str(tmp_path / "a.parquet"), **options))
    assert [product.values.get("colour") for product in after] == [("red", "blue"), ("red",), None]
    if to == "parquet":
        table = pq.read_table(spec)
        assert table["colour"].to_pylist() == [["red", "blue"], ["red"], None] and table["brand"][0].as_py() == "Brand 0"
    else:
        with tarfile.open(next((tmp_path / "out").glob("*.tar"))) as tar:
            assert json.load(tar.extractfile("000000000.json"))["colour"] == ["red", "blue"]


def test_an_earlier_import_is_kept_unless_told(tmp_path):
    spec, other = (str(write_parquet(tmp_path / name, rows(1))) for name in ("a.parquet", "b.parquet"))
    import_catalogue(spec, tmp_path / "out", progress=False)
    with pytest.raises(InputError, match="--overwrite"):
        import_catalogue(other, tmp_path / "out", progress=False)
    assert [file.name for file in (tmp_path / "out").iterdir() if file.name != LEDGER] == ["a.parquet"]
    import_catalogue(other, tmp_path / "out", overwrite=True, progress=False)
    assert [file.name for file in (tmp_path / "out").iterdir() if file.name != LEDGER] == ["b.parquet"]


def test_overwrite_never_removes_what_is_not_an_imports(shop, tmp_path):
    (tmp_path / "thesis.txt").write_text("precious")
    with pytest.raises(InputError, match="other files"):
        import_catalogue(str(shop), tmp_path, tags=("brand",), overwrite=True, progress=False)
    assert (tmp_path / "thesis.txt").read_text() == "precious"

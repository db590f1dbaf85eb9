"""Caption cells of every kind that strangers' tables hold: each is read rightly or its row is counted as unusable."""

import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from e2.data import open_catalogue
from e2.errors import InputError
from tests.e2.data.conftest import encoded, photo

SCRIPTS = [
    "👗 dress 👨‍👩‍👧",
    "فستان أحمر طويل",
    "שמלה",
    "连衣裙",
    "one\u2028two\u2029three\x85four",
    "tab\tand \x0b and \x1c in it",
    "e\u0301 é",
]
LONG = "wool " * 9_999 + "end"


def records(captions):
    return [{"product_id": f"p{n}", "image": encoded(photo(n)), "caption": caption} for n, caption in enumerate(captions)]


def read(file, **options):
    catalogue = open_catalogue(str(file), on_bad_row="skip", progress=False, **options)
    return {product.product_id: product.captions for product in catalogue}, catalogue.bad_rows


@pytest.mark.parametrize("ending", ["parquet", "csv", "tsv", "jsonl"])
def test_all_scripts_and_long_texts(tmp_path, ending):
    captions = [*SCRIPTS, LONG]
    (tmp_path / "a.jpg").write_bytes(encoded(photo()))
    frame = pd.DataFrame({"product_id": [f"p{n}" for n in range(len(captions))], "image": "a.jpg", "caption": captions})
    file = tmp_path / f"a.{ending}"
    if ending == "parquet":
        frame.to_parquet(file)
    elif ending == "jsonl":
        frame.to_json(file, orient="records", lines=True, force_ascii=False)
    else:
        frame.to_csv(file, index=False, sep="\t" if ending == "tsv" else ",")
    found, bad = read(file)
    assert bad == {} and [captions for (captions,) in found.values()] == captions


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        ([np.nan, 5.0, 2.5], [None, ("5",), ("2.5",)]),
        ([None, "", " \u2028 ", "nan", "ok"], [None, None, None, None, ("ok",)]),
        ([["a", None, "b"], [], None, [""]], [("a", "b"), None, None, None]),
        ([1, 2], [("1",), ("2",)]),
        ([True, None], [("true",), None]),
        ([[1.5, np.nan], [2.0]], [("1.5",), ("2",)]),
    ],
)
def test_parquet_cells(tmp_path, cells, expected):
    frame = pd.DataFrame(records(cells))
    frame.to_parquet(tmp_path / "a.parquet")
    found, bad = read(tmp_path / "a.parquet")
    assert [found.get(f"p{n}") for n in range(len(cells))] == expected
    assert bad.get("no text", 0) == expected.count(None)


def test_parquet_cells_in_views(tmp_path):
    frame = pd.DataFrame(records(["a", "b"]))
    caption = pa.array([["a", "c"], ["b"]], pa.list_view(pa.string()))
    columns = {"product_id": pa.array(frame.product_id).cast(pa.string_view()), "caption": caption}
    columns["image"] = pa.array(frame.image).cast(pa.binary_view())
    pq.write_table(pa.table(columns), tmp_path / "a.parquet")
    assert read(tmp_path / "a.parquet") == ({"p0": ("a", "c"), "p1": ("b",)}, {})


def test_json_cells_of_mixed_kinds(tmp_path):
    (tmp_path / "a.jpg").write_bytes(encoded(photo()))
    cells = ["text", 7, 2.5, float("nan"), None, ["a", 3, None], {"a": 1}, True, [[1], "x"], "\ud83d half of a pair"]
    lines = [json.dumps({"product_id": f"p{n}", "image": "a.jpg", "caption": cell}) for n, cell in enumerate(cells)]
    (tmp_path / "a.jsonl").write_text("\n".join(lines))
    found, bad = read(tmp_path / "a.jsonl")
    assert found["p0"] == ("text",) and found["p1"] == ("7",) and found["p2"] == ("2.5",) and found["p5"] == ("a", "3")
    assert bad == {"no text": 3} and {"p3", "p4", "p6"}.isdisjoint(found)  # not a number, nothing, an object
    assert found["p9"][0].endswith("half of a pair")


def test_a_column_of_structs_is_one_clear_line(tmp_path):
    pd.DataFrame(records([{"en": "A hat"}, {"en": "A cap"}])).to_parquet(tmp_path / "a.parquet")
    with pytest.raises(InputError, match=r"column 'caption' .*cannot be read as captions"):
        open_catalogue(str(tmp_path / "a.parquet"), progress=False)


def test_text_that_is_not_utf8_inside_parquet(tmp_path):
    broken = pa.array([b"caf\xe9", b"ok"]).view(pa.string())
    table = pa.table({"product_id": ["a", "b"], "image": [encoded(photo())] * 2, "caption": broken})
    pq.write_table(table, tmp_path / "a.parquet")
    with pytest.raises(InputError, match="column 'caption'.*UTF8"):
        open_catalogue(str(tmp_path / "a.parquet"), progress=False)


def test_line_separators_in_the_kaggle_layout(tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "images/1.jpg").write_bytes(encoded(photo()))
    lines = "id,gender,productDisplayName\r\n1,Men,Puma Men\u2028Shirt, red\x85\r\n"
    (tmp_path / "styles.csv").write_bytes(lines.encode())
    spec = f"products:{tmp_path}"
    from e2.data.kaggle import split_of

    split = split_of("Puma Men\u2028Shirt, red\x85")
    (product,) = open_catalogue(spec, split, tags=["gender"], progress=False)
    assert product.captions == ("Puma Men\u2028Shirt, red",)

import pyarrow as pa
import pytest

from e2.data.columns import Columns, images, normalise, parse_tags
from e2.data.product import values_of
from e2.errors import InputError


def test_parse_tags():
    assert parse_tags("a, b=column_b") == (("a", "b"), {"a": "a", "b": "column_b"})
    assert parse_tags("") == ((), {})


@pytest.mark.parametrize("wrong", ["a=", "=b", "a,a"])
def test_parse_tags_refuses(wrong):
    with pytest.raises(InputError, match="--tags"):
        parse_tags(wrong)


def column(cells, name, **options):
    """One column as `normalise` makes it, read as a column of the table's own name."""
    roles = {"product_id": "product_id", "captions": "caption", "tag:brand": "brand"}
    return normalise(pa.table({roles[name]: cells}), ("brand",), Columns(), "t", **options).column(name).to_pylist()


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (pa.array([" a ", "", "  ", "nan", "None", "NA", None, "Nana"]), ["a", None, None, "nan", "None", "NA", None, "Nana"]),
        (pa.array([7, None]), ["7", None]),
        (pa.array([2013.0, float("nan"), 1.5, None]), ["2013", None, "1.5", None]),
        (pa.array([19.9, 1234567.0], pa.float32()), ["19.9", "1234567"]),
        (pa.array(["x", "y", "x"]).dictionary_encode(), ["x", "y", "x"]),
        (pa.nulls(2), [None, None]),
    ],
)
def test_text(cells, expected):
    ids = [" a ", *expected[1:]] if expected[0] == "a" else expected  # the blanks around an id are part of it
    assert column(cells, "tag:brand") == expected and column(cells, "product_id") == ids
    if pa.types.is_string(cells.type):
        words = ("nan", "None", "NA")
        assert column(cells, "product_id", nulls=False) == [None if cell in words else cell for cell in ids]
        assert column(cells, "tag:brand", nulls=False) == [None if cell in words else cell for cell in expected]


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (pa.array([["cotton", "silk"], [], None, [None]]), ["cotton | silk", None, None, None]),
        (
            pa.array(["braided | brown|casual", "flat", None, "a || a | ", " | "]),
            ["braided | brown | casual", "flat", None, "a", None],
        ),
        (
            pa.array(['["red", "blue", "red"]', "['S' 'M']", "[sale | new", '{"a": "x | y"}']),
            ["red | blue", "S | M", "[sale | new", None],
        ),
        (pa.array([[1.0, 2.5], [3.0]]), ["1 | 2.5", "3"]),
        (pa.array([["a", None, "b | a"], None]), ["a | b", None]),
    ],
)
def test_a_tag_may_have_several_values(cells, expected):
    assert column(cells, "tag:brand") == expected
    assert column(cells[1:], "tag:brand") == expected[1:]


def test_words_for_nothing_are_no_values():
    assert column(pa.array(["red | NA | blue", "nan | none"]), "tag:brand", nulls=False) == ["red | blue", None]


def test_ids_keep_their_bars_and_lists_in_them_are_joined():
    assert column(pa.array(["a | b"]), "product_id") == ["a | b"]
    assert column(pa.array([["cotton", "silk"], []]), "product_id") == ["cotton, silk", None]


def test_a_cell_of_500_values_keeps_the_first_100_and_says_so():
    cells = pa.array([" | ".join(map(str, range(500))), "red"])
    table = normalise(pa.table({"brand": cells}), ("brand",), Columns(), "t")
    assert [len(values_of(tag)) for tag in table.column("tag:brand").to_pylist()] == [100, 1]
    what = "brand values beyond the first 100 of a product left out"
    assert table.column("e2:notes").to_pylist() == [[{"what": what, "value": "500 values"}], None]


def test_texts_drop_blanks_and_keep_their_rows():
    cells = pa.array([["a", None, "b"], [], None, [" "], ["c"]])
    assert column(cells, "captions") == [["a", "b"], [], [], [], ["c"]]
    assert column(pa.array(["a", None, 3 * " ", "b"]), "captions") == [["a"], [], [], ["b"]]
    assert column(cells[1:], "captions") == [[], [], [], ["c"]]  # a slice of a column starts at an offset


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (pa.array([b"1", None]), [[(b"1", None)], []]),
        (pa.array(["a.jpg", " "]), [[(None, "a.jpg")], []]),
        (pa.array([{"bytes": b"1", "path": "a"}, {"bytes": None, "path": "b"}, None]), [[(b"1", "a")], [(None, "b")], []]),
        (pa.array([{"path": "b"}]), [[(None, "b")]]),
        (pa.array([{"url": "b", "width": 3}]), [[(None, "b")]]),
        (pa.array([[b"1", b"2"], [None], None]), [[(b"1", None), (b"2", None)], [], []]),
        (pa.array([[{"bytes": b"1", "path": None}] * 2, []]), [[(b"1", None)] * 2, []]),
        (pa.nulls(1), [[]]),
    ],
)
def test_images(cells, expected):
    found = [[(image["bytes"], image["path"]) for image in row] for row in images(cells).to_pylist()]
    assert found == expected


def test_a_struct_without_a_photo_is_named():
    with pytest.raises(InputError, match=r"column 'image'.*no field is called bytes, path, url, src"):
        normalise(pa.table({"image": [{"uri": "a.jpg"}]}), (), Columns(), "t.parquet")


def test_a_column_of_another_kind_is_named():
    with pytest.raises(InputError, match=r"t\.parquet: column 'brand'.*cannot be read as brand"):
        normalise(pa.table({"brand": [{"a": 1}]}), ("brand",), Columns(), "t.parquet")

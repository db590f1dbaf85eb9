import pyarrow as pa
import pytest

from e2.data.columns import Columns, images, normalise, parse_tags
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
        (pa.array([["cotton", "silk"], [], None, [None]]), ["cotton, silk", None, None, None]),
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
        (pa.array([[b"1", b"2"], [None], None]), [[(b"1", None), (b"2", None)], [], []]),
        (pa.array([[{"bytes": b"1", "path": None}] * 2, []]), [[(b"1", None)] * 2, []]),
        (pa.nulls(1), [[]]),
    ],
)
def test_images(cells, expected):
    found = [[(image["bytes"], image["path"]) for image in row] for row in images(cells).to_pylist()]
    assert found == expected


def test_a_column_of_another_kind_is_named():
    with pytest.raises(InputError, match=r"t\.parquet: column 'brand'.*cannot be read as brand"):
        normalise(pa.table({"brand": [{"a": 1}]}), ("brand",), Columns(), "t.parquet")

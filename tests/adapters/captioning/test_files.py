"""Files of captions, of the forms that other programs write and of those that cannot be understood."""

import gzip
import json

import pytest
from PIL import Image

from e2.adapters.captioning.files import own_ids, read_captions
from e2.adapters.composed.base import References
from e2.adapters.composed.reference_captions import FileCaptions
from e2.benchmarks.captioning.files import write_rows
from e2.errors import InputError

HOSTILE = "<script>alert(1)</script> \u2028 ''\"& \u202eabc \ud83d"
UNDERSTOOD = {
    "object": '{"7": "a dress"}',
    "coco results": '[{"image_id": 7, "caption": "a dress", "id": 1}]',
    "coco annotations": '{"images": [{"id": 7}], "annotations": [{"image_id": 7, "id": 3, "caption": "a dress"}]}',
    "one line": '{"product_id": "7", "caption": "a dress"}\n',
    "lines with a mark": '\ufeff{"id": 7, "caption": "a dress"}\r\n\n',
    "over several lines": '{\n "image": "7",\n "caption": "a dress"}',
    "csv": "product_id,caption\r\n7,a dress\r\n",
    "csv with semicolons": '\ufeff"image";"caption"\n7;"a dress"\n',
    "csv of a spreadsheet": "sep=;\nProduct_ID ; Caption\n\n7;a dress\n",
    "csv with bars": "\nid|caption\n7|a dress\n",
    "tsv": "id\tcaption\n7\ta dress\n",
    "several photos": '{"id": "7", "index": 1, "caption": "b"}\n{"id": "7", "index": 0, "caption": "a dress"}\n',
    "several photos in csv": "product_id,index,caption\n7,0,a dress\n7,1,b\n",
}
REFUSED = {
    "": "holds no captions",
    "[]": "holds no captions",
    "3": "holds no captions",
    "[3]": "entry 1 is not a row",
    "a dress\na coat\n": "line 1: plain text lines have no ids",
    "0001.jpg\ta coat\n": "line 1: plain text lines have no ids",
    '{"id": 1, "caption": "a"}\n{"id": 2, "caption"\n': "line 2: this is not JSON",
    '{"id": 1, "caption": "a"}\n[2]\n': "line 2 is not a row",
    '{"id": 1, "caption": "a"}\n{"id": 1, "caption": "b"}': "line 2: 1 has a second caption",
    '[{"id": 1, "caption": "a"}, {"id": "1", "caption": "b"}]': "entry 2: 1 has a second caption",
    '{"p0": "a dress", "p0": "a cat"}': "p0 has a second caption",
    '{"annotations": [{"image_id": 1, "caption": "a"}, {"image_id": 1, "caption": "b"}]}': "1 has a second caption",
    "id,caption\n1,a\n1,b\n": "line 3: 1 has a second caption",
    '{"product_id": 1, "index": 1, "caption": "a"}\n{"product_id": 1, "index": 1, "caption": "b"}': "second caption",
    '{"p0": ["a", "b"]}': "p0 has a list of captions",
    '[{"id": 1, "caption": ["a"]}]': "1 has a list of captions",
    '{"p0": {"caption": "a"}}': "p0 has an object for a caption",
    '[{"id": 1, "caption": null}]': "1 has no caption",
    '{"id": 1, "caption": NaN}': "1 has NaN for a caption",
    '[{"id": 139.0, "caption": "a"}]': "entry 1 has the id 139.0",
    '[{"id": true, "caption": "a"}]': "entry 1 has the id true",
    '[{"caption": "a"}]': "entry 1 has no id",
    "caption,id\nred\n": "line 2 has no id",
    "id,caption\n1,a red, long dress\n": "line 2 has 3 cells, but there are 2 columns",
    'id,caption\n1,"a red dress\n2,a coat\n': "is not a table: unexpected end of data",
    "id,caption,caption\n1,a,b\n": "two columns 'caption'",
    '[{"id": "", "caption": "a"}]': "entry 1 has no id",
}


@pytest.mark.parametrize("form", UNDERSTOOD)
def test_captions_of_any_origin(tmp_path, form):
    (tmp_path / "file").write_text(UNDERSTOOD[form], encoding="utf-8", newline="")
    found = read_captions(tmp_path / "file")
    assert found.captions == {"7": "a dress"} and not found.failed
    assert found.further == ("several photos" in form)


@pytest.mark.parametrize(
    "raw",
    [
        "product_id\tcaption\r\n7\tbleu délavé\r\n".encode("utf-16"),
        "product_id;caption\n7;bleu délavé\n".encode("cp1252"),
        '{"7": "bleu délavé"}'.encode("utf-16"),
        gzip.compress('{"7": "bleu délavé"}'.encode()),
        "product_id,caption\n7,bleu délavé\n,\n , \n".encode(),
    ],
)
def test_captions_in_any_encoding(tmp_path, raw):
    (tmp_path / "file").write_bytes(raw)
    assert read_captions(tmp_path / "file").captions == {"7": "bleu délavé"}


@pytest.mark.parametrize("text", REFUSED)
def test_what_is_not_understood_is_named(tmp_path, text):
    (tmp_path / "file").write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=REFUSED[text]):
        read_captions(tmp_path / "file")
    with pytest.raises(InputError, match=REFUSED[text]):  # the same reader
        FileCaptions(tmp_path / "file")


def test_a_row_alone_in_a_file_of_lines_is_no_map_of_ids(tmp_path):
    (tmp_path / "rows.jsonl").write_text('{"sku": "p0", "caption": "a dress"}', encoding="utf-8")
    with pytest.raises(InputError, match="entry 1 has no id"):
        read_captions(tmp_path / "rows.jsonl")


def test_long_captions_with_line_separators_stay_whole(tmp_path):
    caption = "a\u2028dress" + " red" * 50_000
    (tmp_path / "table.csv").write_text(f"id,caption\n7,{caption}\n8,b\n", encoding="utf-8")
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps({"id": n, "caption": caption}) + "\n" for n in (7, 8)))
    assert (
        read_captions(tmp_path / "table.csv").captions["7"] == read_captions(tmp_path / "rows.jsonl").captions["8"] == caption
    )


def test_files_that_cannot_be_read(tmp_path):
    (tmp_path / "file").write_bytes('{"p": "bleu délavé"}'.encode() + b"\xe9")
    with pytest.raises(InputError, match="not UTF-8 text .byte 0xe9."):
        read_captions(tmp_path / "file")
    (tmp_path / "cut.gz").write_bytes(gzip.compress(b'{"p": "a dress"}')[:-9])
    with pytest.raises(InputError, match="cannot read"):
        read_captions(tmp_path / "cut.gz")
    with pytest.raises(InputError, match="cannot read"):
        read_captions(tmp_path / "none")


def test_our_own_rows_come_back(tmp_path):
    write_rows(tmp_path / "rows", [{"product_id": "a", "caption": HOSTILE}, {"product_id": "b", "error": "broken photo"}])
    assert len((tmp_path / "rows").read_text(encoding="utf-8").splitlines()) == 2
    found = read_captions(tmp_path / "rows")
    assert found.captions == {"a": HOSTILE} and found.failed == {"b": "broken photo"}
    assert own_ids(found.ids, "c") == "a, b"


def test_photos_are_found_by_the_end_of_their_path(tmp_path):
    captions = {"red/1.jpg": "a red coat", "1.jpg": "a blue coat", "2": "a hat", "jupe_\\xe9t\\xe9.jpg": "a skirt"}
    rows = [{"image": name, "caption": caption} for name, caption in captions.items()]
    (tmp_path / "file").write_text(json.dumps([*rows, {"image": "bad.jpg", "error": "it is empty"}]), encoding="utf-8")

    def captioned(*paths: str) -> list[str]:
        return FileCaptions(tmp_path / "file").captions(References(None, list(paths)))

    assert captioned("/shop/red/1.jpg", "/shop/blue/1.jpg", "photos/2.png") == ["a red coat", "a blue coat", "a hat"]
    assert captioned("/shop/jupe_\udce9t\udce9.jpg") == ["a skirt"]
    with pytest.raises(InputError, match=r"no caption for .*bad.jpg \(it is empty\), but for red/1.jpg, 1.jpg, 2, \.\.\."):
        captioned("/shop/bad.jpg")
    with pytest.raises(InputError, match="a photo without a name"):
        FileCaptions(tmp_path / "file").captions(References(None, [Image.new("RGB", (2, 2))]))


@pytest.mark.parametrize("wanted", ["0042", "42.jpg", "photos/00042.JPG"])
def test_ids_that_are_nearly_alike_are_told_how_they_are_compared(wanted):
    assert f"ids are compared letter by letter, and 42 is not {wanted}" in own_ids(["41", "42"], wanted)
    assert own_ids(["41", "43"], wanted) == "41, 43"

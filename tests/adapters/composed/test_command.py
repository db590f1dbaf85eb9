"""`e2 compose fit` and `search` from the command line: tables, JSON, contact sheets, and mistakes in one line."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from typer.testing import CliRunner

from e2.adapters.composed.command import compose_app
from e2.adapters.embeddings.write import write_embeddings
from e2.data import open_catalogue
from e2.errors import InputError
from tests.adapters.composed.conftest import TAGS
from tests.conftest import jpeg


@pytest.fixture(scope="module")
def photo(tmp_path_factory):
    path = tmp_path_factory.mktemp("photo") / "ref.jpg"
    path.write_bytes(jpeg((200, 30, 30), 5))
    return str(path)


def call(*words):
    result = CliRunner().invoke(compose_app, [str(word) for word in words])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


def start(shop, checkpoint, photo, text="in blue"):
    tags = ("--tags", ",".join(TAGS), "--split", "val", "--workers", "0", "--device", "cpu")
    return ("search", "--image", photo, "--text", text, "--encoder", checkpoint, "--data", shop, *tags)


def test_search_writes_hits_and_a_sheet(shop, checkpoint, photo, tmp_path):
    printed = call(*start(shop, checkpoint, photo), "--method", "slots", "--top", "5", "--out", tmp_path)
    hits = json.loads((tmp_path / "hits.json").read_text())
    assert len(hits["hits"]) == 5 and hits["hits"][0]["tags"] and "changed" in hits["steps"]
    order = [(hit["tags"]["colour"] == "blue", hit["score"]) for hit in hits["hits"]]
    assert order == sorted(order, reverse=True)  # what has the wished tag comes first
    assert "changed" in printed and hits["hits"][0]["product_id"] in printed
    with Image.open(tmp_path / "hits.png") as sheet:
        assert sheet.width > 800 and np.asarray(sheet.convert("L")).std() > 5


def test_a_size_in_a_wish_filters_and_none_is_read_off_the_photo(shop, checkpoint, photo, tmp_path):
    rows = pq.read_table(shop / "val.parquet").to_pylist()
    for number, row in enumerate(rows):
        row["size"] = ("36", "38", "M")[number % 3]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "shop.parquet")
    words = (
        "search",
        "--image",
        photo,
        "--text",
        "in blue, size 36",
        "--encoder",
        checkpoint,
        "--data",
        tmp_path / "shop.parquet",
    )
    words += ("--tags", "brand,size", "--split", "shop", "--workers", "0", "--device", "cpu", "--method", "slots", "--json")
    found = json.loads(call(*words))
    assert found["hits"] and {hit["tags"]["size"] for hit in found["hits"]} == {"36"}
    assert found["steps"]["only"] == "size 36" and "size" not in found["steps"]["tags"] | found["steps"]["changed"]


def test_slots_read_several_values_where_products_have_some(shop, checkpoint, tmp_path):
    rows = pq.read_table(shop / "train.parquet").to_pylist()
    for number, row in enumerate(rows):
        row["style"] = "casual | flat" if number % 3 else "casual"
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "shop.parquet")
    words = ("fit", "--encoder", checkpoint, "--data", tmp_path / "shop.parquet", "--tags", "style,brand", "--method", "slots")
    words += ("--split", "shop", "--out", tmp_path / "slots", "--workers", 0, "--device", "cpu")
    style = json.loads(call(*words, "--json"))["reading"]["style"]
    assert style["labelled"] == sum(1 + bool(number % 3) for number in range(len(rows)))
    assert style["precision"] >= 50 and style["recall"] == pytest.approx(100 * style["right"] / style["labelled"])
    settings = json.loads((tmp_path / "slots" / "composer.json").read_text())["settings"]
    assert settings["several"] == ["style"] and settings["vocabulary"]["style"] == ["casual", "flat"]
    again = call(*words, "--overwrite")
    assert "\n  style: " in again and "% found" in again


def test_an_index_gives_the_same_hits_as_the_photos(shop, checkpoint, regional, photo, tmp_path):
    products = open_catalogue(str(shop), "val", tags=TAGS)
    write_embeddings(regional, products, tmp_path / "index.parquet", what=("image", "text"), progress=False)
    command = (*start(shop, checkpoint, photo), "--method", "sum", "--json")
    by_photos, by_index = json.loads(call(*command)), json.loads(call(*command, "--features", tmp_path / "index.parquet"))
    assert [h["product_id"] for h in by_photos["hits"]] == [h["product_id"] for h in by_index["hits"]]
    texts = json.loads(call(*command, "--features", tmp_path / "index.parquet", "--target", "text"))
    expected = regional.encode_texts([products[i].captions[0] for i in range(len(products))])
    query = regional.encode_images([photo])[0] + regional.encode_texts(["in blue"])[0]
    nearest = max(texts["hits"], key=lambda hit: hit["score"])  # the first hits are those that have the wished tag
    assert nearest["product_id"] == products[int((expected @ query).argmax())].product_id


def test_fit_then_search(shop, checkpoint, photo, tmp_path):
    texts = tmp_path / "texts.txt"
    texts.write_text("\n".join(f"a {colour} tee number {i}" for i, colour in enumerate(["red", "blue", "green"] * 4)))
    out = tmp_path / "lincir"
    printed = call(
        "fit", "--encoder", checkpoint, "--data", texts, "--out", out, "--steps", 3, "--set", "batch_size=4", "--json"
    )
    assert json.loads(printed)["method"] == "lincir"
    found = json.loads(call(*start(shop, checkpoint, photo), "--composer", out, "--json"))
    assert found["steps"] == {"prompt": "a photo of <photo> that in blue"} and len(found["hits"]) == 12


def test_mistakes_are_one_line(shop, checkpoint, regional, photo, tmp_path):
    bad = tmp_path / "bad.jpg"
    bad.write_text("not a photo")
    (tmp_path / "empty.txt").write_text("\n")
    search = start(shop, checkpoint, photo)
    for words, message in (
        ((*start(shop, checkpoint, photo, " "), "--method", "sum"), "wish of query 0 is empty"),
        ((*start(shop, checkpoint, photo, "x" * 5000), "--method", "sum"), "has 5,000 characters"),
        ((*start(shop, checkpoint, bad), "--method", "sum"), "bad.jpg"),
        (search, "choose how to compose"),
        ((*search, "--method", "sum", "--target", "video"), "choose image or text"),
        ((*search, "--method", "sum", "--features", bad), "holds no vectors"),
        ((*search, "--method", "sum", "--set", "weight=1"), "has no option 'weight'"),
        ((*search, "--method", "sum", "--set", "weight"), "write KEY=VALUE"),
        (("search", "--image", photo, "--text", "a", "--encoder", checkpoint, "--method", "sum"), "nothing to search in"),
        (("fit", "--encoder", checkpoint, "--data", tmp_path / "empty.txt", "--out", tmp_path / "o"), "holds no text"),
        (("fit", "--encoder", checkpoint, "--data", shop, "--out", tmp_path), "holds other files"),
        (("fit", "--encoder", checkpoint, "--data", shop, "--out", tmp_path / "o", "--set", "rate=1"), "unknown setting"),
        (
            ("fit", "--encoder", checkpoint, "--data", shop, "--out", tmp_path / "o", "--set", 'lr="a"'),
            "fit.lr: 'a' is not a number",
        ),
    ):
        with pytest.raises(InputError, match=message) as caught:
            call(*words)
        assert "\n" not in str(caught.value)


def test_an_index_of_another_encoder_is_refused(shop, checkpoint, encoder, photo, tmp_path):
    write_embeddings(
        encoder, open_catalogue(str(shop), "val", tags=TAGS), tmp_path / "i.parquet", what=("image",), progress=False
    )
    with pytest.raises(InputError, match="holds vectors of open_clip:test-tiny, not of"):
        call(*start(shop, checkpoint, photo), "--method", "sum", "--features", tmp_path / "i.parquet")


HOSTILE = "red \x1b]0;owned\x07 \x9b31m \u202e[bold]dress[/bold]\r\n" + "\ud83d"


def test_a_catalogues_texts_never_reach_the_terminal_as_codes(checkpoint, photo, tmp_path):
    rows = [
        {"product_id": f"p{i}", "image": photo, "caption": f"{HOSTILE} {i}", "colour": f"red {i} \x1b[2J"} for i in range(3)
    ]
    (tmp_path / "shop.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    search = (
        "search",
        "--image",
        photo,
        "--text",
        "in red 1 \x1b[2J",
        "--encoder",
        checkpoint,
        "--workers",
        "0",
        "--device",
        "cpu",
    )
    search += ("--data", tmp_path / "shop.jsonl", "--tags", "colour", "--method", "slots", "--out", tmp_path / "out")
    for printed in (call(*search), call(*search, "--json")):
        assert "owned" in printed and all(letter.isprintable() or letter == "\n" for letter in printed)
    assert json.loads((tmp_path / "out/hits.json").read_text())["hits"]
    assert (tmp_path / "out/hits.png").stat().st_size


def test_what_is_no_photo_is_named_without_advice_for_tables(shop, checkpoint, photo, tmp_path):
    for name, content in (("empty.jpg", b""), ("cut.png", b"\x89PNG\r\n"), ("text.jpg", b"not a photo")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match=rf"--image .*{name}: .*; give another photo") as caught:
            call(*start(shop, checkpoint, tmp_path / name), "--method", "sum")
        assert "on-bad-row" not in str(caught.value)
    for place in (tmp_path, tmp_path / "nowhere.jpg"):
        with pytest.raises(InputError, match="there is no such file; give the reference photo"):
            call(*start(shop, checkpoint, place), "--method", "sum")

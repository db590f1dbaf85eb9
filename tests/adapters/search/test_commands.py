"""`e2 index ...` from the command line: build, update, search in every way, delete, and mistakes in one line."""

import json

import pytest
from safetensors.torch import save_file
from typer.testing import CliRunner

from adapters.search.commands import index_app
from e2.checkpoint import save_config, weights_of
from e2.errors import InputError
from tests.conftest import jpeg

TAGS = ("--tags", "brand,season,colour", "--workers", "0", "--device", "cpu")


@pytest.fixture(scope="module")
def encoder(tiny):
    return f"open_clip:{tiny}"


@pytest.fixture(scope="module")
def index(shop, encoder, tmp_path_factory):
    out = tmp_path_factory.mktemp("built") / "index"
    printed = call("build", "--encoder", encoder, "--data", shop, "--split", "val", "--out", out, *TAGS)
    assert f"wrote 12 products to {out}" in printed
    return out


@pytest.fixture(scope="module")
def photo(tmp_path_factory):
    path = tmp_path_factory.mktemp("photo") / "ref.jpg"
    path.write_bytes(jpeg((200, 30, 30), 5))
    return path


def call(*words):
    result = CliRunner().invoke(index_app, [str(word) for word in words])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


def hits(index, *words):
    return json.loads(call("search", "--index", index, "--device", "cpu", "--json", *words))["hits"]


def test_search_by_words_photo_both_and_likeness(index, photo):
    by_text = hits(index, "--text", "a red tee", "-k", 5)
    assert len(by_text) == 5 and [h["score"] for h in by_text] == sorted((h["score"] for h in by_text), reverse=True)
    by_photo = hits(index, "--image", photo, "--filter", 'colour in ["red", "blue"] and brand != ""')
    assert (
        by_photo and {h["tags"]["colour"] for h in by_photo} <= {"red", "blue"} and all("brand" in h["tags"] for h in by_photo)
    )
    near_text = hits(index, "--text", "a red tee", "--image", photo, "--set", "text_weight=1")
    assert [h["product_id"] for h in near_text][:5] == [h["product_id"] for h in by_text]
    summed = hits(index, "--text", "a red tee", "--image", photo, "--method", "sum")
    assert len(summed) == 12
    kept_out = hits(index, "--text", "anything but red", "--image", photo, "-k", 12)
    assert kept_out and not any(h["tags"].get("colour") == "red" for h in kept_out)
    told = call("search", "--index", index, "--device", "cpu", "--text", "anything but red", "--image", photo)
    assert "unwanted: red" in told
    like = hits(index, "--like", "val-3", "-k", 3)
    assert len(like) == 3 and "val-3" not in [h["product_id"] for h in like]


def test_tables(index):
    printed = call("info", "--index", index)
    assert "12" in printed and "split val" in printed and "tag colour" in printed
    facts = json.loads(call("info", "--index", index, "--json"))
    assert facts["count"] == 12 and facts["complete"] and facts["facets"]["colour"]["red"] == 3
    assert "val-" in call("search", "--index", index, "--like", "val-3")
    assert "no product passes" in call("search", "--index", index, "--like", "val-3", "--filter", 'brand == "None such"')


def test_update_and_delete(shop, encoder, tmp_path):
    out = tmp_path / "index"
    call("build", "--encoder", encoder, "--data", shop, "--split", "val", "--out", out, *TAGS)
    (tmp_path / "ids.txt").write_text("val-1\nval-2\n\nnone\n")
    assert "deleted 2 products" in call("delete", "--index", out, "--ids", f"@{tmp_path / 'ids.txt'}")
    assert json.loads(call("delete", "--index", out, "--ids", "val-0, val-0", "--json"))["deleted"] == 1
    told = json.loads(call("update", "--index", out, "--data", shop, "--split", "val", "--json", *TAGS))
    assert told["written"] == 3 and told["unchanged"] == 9
    again = json.loads(
        call("build", "--encoder", encoder, "--data", shop, "--split", "val", "--out", out, "--resume", "--json", *TAGS)
    )
    assert again["written"] == 0 and again["unchanged"] == 12


def test_an_encoder_that_moved_is_named_and_another_is_refused(shop, tiny, model, tmp_path):
    here, there, out = tmp_path / "here", tmp_path / "there", tmp_path / "index"
    here.mkdir()
    save_config(here, backbone=tiny, model=model, method="e2", training={})
    save_file(weights_of(model), here / "model.safetensors")
    call("build", "--encoder", here, "--data", shop, "--split", "val", "--out", out, *TAGS)
    here.rename(there)
    with pytest.raises(InputError, match="say where it lies now by --encoder"):
        hits(out, "--text", "a")
    assert hits(out, "--text", "a", "--encoder", there)
    with pytest.raises(InputError, match="was built with"):
        hits(out, "--text", "a", "--encoder", f"open_clip:{tiny}")


def test_mistakes_are_one_line(index, shop, encoder, photo, tmp_path):
    search = ("search", "--index", index, "--device", "cpu")
    build = ("build", "--encoder", encoder, "--data", shop, "--split", "val")
    for words, message in (
        (search, "nothing to search for"),
        ((*search, "--text", " "), "is empty"),
        ((*search, "--text", "a", "--like", "val-1"), "--like stands alone"),
        ((*search, "--like", "none"), "no product 'none'"),
        ((*search, "--text", "a", "--filter", "colour = red"), "expected a name, a quoted text"),
        ((*search, "--text", "a", "-k", "20000"), "cannot give 20000 hits"),
        ((*search, "--image", tmp_path / "none.jpg"), "there is no such file"),
        (("info", "--index", tmp_path), "is no index"),
        (("delete", "--index", index, "--ids", " , "), "there is no id"),
        (("delete", "--index", index, "--ids", "@none"), "cannot be read"),
        ((*build, "--out", index, *TAGS), "holds an index already"),
        ((*build, "--out", index, "--resume", "--overwrite", *TAGS), "choose one"),
        ((*build, "--out", photo, *TAGS), "is there already and is no index"),
    ):
        with pytest.raises(InputError, match=message) as caught:
            call(*words)
        assert "\n" not in str(caught.value)

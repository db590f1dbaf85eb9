import io
import json

import numpy as np
import open_clip
import pytest
from PIL import Image
from rich.console import Console

from e2.data.info import catalogue_info, info_table, write_info
from e2.data.sources import open_catalogue
from e2.errors import InputError
from tests.e2.data.conftest import rows, write_parquet


@pytest.fixture
def folder(tmp_path):
    train = rows(12)
    train[0]["caption"] = "long " * 100
    train[1]["caption"] = "word " * 73  # 75 tokens, but with its tags over 77
    train[2]["brand"] = None
    write_parquet(tmp_path / "shop" / "train.parquet", train)
    write_parquet(tmp_path / "shop" / "test.parquet", rows(4, start=10))  # p10 and p11 are in train too
    return tmp_path / "shop"


def test_numbers(folder):
    tokenizer = open_clip.get_tokenizer("ViT-B-32")
    catalogues = {
        split: open_catalogue(str(folder), split, tags=["brand", "season"], progress=False) for split in ("train", "test")
    }
    info = catalogue_info(catalogues, tokenizer, 77, progress=False)
    train, test = info["splits"]["train"], info["splits"]["test"]
    assert (train["products"], train["images"], train["captions"], test["products"]) == (12, 12, 12, 4)
    assert train["over_context_length"] == {"caption": 1, "full": 2}
    assert test["caption_words_mean"] == 4 and train["caption_tokens_max"] == 102
    assert test["caption_tokens_mean"] == float(
        (tokenizer([p.captions[0] for p in catalogues["test"]]) != 0).sum(1).float().mean()
    )
    assert train["entities"]["brand"] == {
        "distinct": 3,
        "once": 0,
        "missing": 1,
        "missing_percent": 8.33,
        "several": 0,
        "values_mean": 1.0,
        "top": [["Brand 0", 4], ["Brand 1", 4], ["Brand 2", 3]],
    }
    assert info["shared_ids"] == {"train & test": 2}
    assert json.loads(json.dumps(info)) == info


def test_several_values_are_counted_each(tmp_path):
    records = rows(4)
    for row, cell in enumerate(["red | blue", "red", None, "blue | red | green"]):
        records[row]["colour"] = cell
    info = write_info(str(write_parquet(tmp_path / "a.parquet", records)), tmp_path / "out", tags=["colour"], progress=False)
    assert info["splits"]["a"]["entities"]["colour"] == {
        "distinct": 3,
        "once": 1,
        "missing": 1,
        "missing_percent": 25.0,
        "several": 2,
        "values_mean": 2.0,
        "top": [["red", 3], ["blue", 2], ["green", 1]],
    }
    console = Console(width=80, file=io.StringIO())
    console.print(info_table(info))
    assert "2 (2.0 a tag)" in console.file.getvalue()


def test_long_values_differ_by_their_ends(tmp_path):
    table = rows(3)
    for row, last in zip(table, ("Dresses", "Clothing Tops", "Shoes"), strict=True):
        row["category"] = f"Apparel & Accessories > Clothing > {last}"
    write_parquet(tmp_path / "shop.parquet", table)
    catalogue = open_catalogue(str(tmp_path / "shop.parquet"), tags=["category"], progress=False)
    info = catalogue_info({"shop": catalogue}, open_clip.get_tokenizer("ViT-B-32"), 77, progress=False)
    console = Console(file=io.StringIO(), width=80)
    console.print(info_table(info))
    shown = console.file.getvalue()
    assert all(f"{end} 1" in shown for end in ("> Dresses", "> Clothing Tops", "> Shoes")) and "Apparel" in shown


def test_files_and_table(folder, tmp_path):
    info = write_info(str(folder), tmp_path / "out", tags=["brand"], progress=False)
    assert json.loads((tmp_path / "out/info.json").read_text()) == info
    for name in ("tags.png", "contact_sheet.png"):
        with Image.open(tmp_path / "out" / name) as picture:
            assert min(picture.size) > 300 and np.asarray(picture.convert("L")).std() > 5
    first = (tmp_path / "out/contact_sheet.png").read_bytes()
    write_info(str(folder), tmp_path / "again", tags=["brand"], progress=False)
    assert (tmp_path / "again/contact_sheet.png").read_bytes() == first  # chosen by the seed
    console = Console(width=100)
    with console.capture() as captured:
        console.print(info_table(info))
    printed = captured.get()
    assert "full texts over 77 tokens" in printed and "2 product ids are in both train & test" in printed


def test_hostile_texts_are_drawn_as_they_are(tmp_path):
    records = rows(2)
    records[0] |= {"caption": "$\\frac{1$ [bold]x[/bold] 👗 \u202eabc", "brand": "$\\bad [/red]"}
    info = write_info(str(write_parquet(tmp_path / "a.parquet", records)), tmp_path / "out", tags=["brand"], progress=False)
    console = Console(width=100)
    with console.capture() as captured:
        console.print(info_table(info))
    assert "$\\bad [/red] 1" in captured.get()


def test_no_tags(tmp_path):
    info = write_info(str(write_parquet(tmp_path / "a.parquet", rows(1))), tmp_path / "out", progress=False)
    assert info["tags"] == [] and (tmp_path / "out/tags.png").exists()


def test_a_catalogue_that_is_not_there_is_told_before_the_tokenizer_is_loaded(monkeypatch):
    monkeypatch.setattr("e2.backbones.clip_tokenizer", lambda: pytest.fail("seconds of waiting"))
    with pytest.raises(InputError, match="nowhere.parquet: there is no such file"):
        write_info("nowhere.parquet", None)

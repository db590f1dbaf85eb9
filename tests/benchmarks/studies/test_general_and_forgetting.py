"""The stand-in for pre-training: general captions, a start model, fine-tuning from it, and what that forgets."""

import json

import pytest

from e2.benchmarks.studies.general import general_caption, write_general
from e2.data import Columns, open_catalogue
from e2.data.product import Product
from e2.errors import InputError
from tests.command import run_command


def general(shop, out):
    """The shop's colours are its categories here."""
    tags = {"tags": ("sub_category", "colour"), "progress": False}
    columns = Columns(tags={"sub_category": "season"})
    return write_general([open_catalogue(str(shop), split, columns=columns, **tags) for split in ("train", "val")], out)


def test_caption_holds_category_and_colour_only():
    tags = {"sub_category": "Tshirts", "colour": "Navy Blue", "brand": "Nike"}
    captions = {general_caption(Product("1", (b"",), ("Nike tee",), tags), row) for row in range(12)}
    assert len(captions) == 6 and all("tshirts" in caption and "navy blue" in caption for caption in captions)
    assert not any("nike" in caption.lower() for caption in captions)
    assert general_caption(Product("1", (b"",), ("x",), {"sub_category": "Tops"}), 3) == "a photo of a tops"
    assert general_caption(Product("1", (b"",), ("x",), {"colour": "Red"}), 0) is None


def test_general_catalogue_has_the_photos_and_no_tags(shop, tmp_path):
    assert general(shop, tmp_path / "general") == {"train": 60, "val": 12}
    product = open_catalogue(str(tmp_path / "general"), "val", progress=False)[0]
    original = open_catalogue(str(shop), "val", progress=False)[0]
    assert product.images == original.images and product.captions != original.captions and not product.tags
    with pytest.raises(InputError, match="a finished general catalogue already"):
        general(shop, tmp_path / "general")


def test_fine_tuning_from_a_general_model_and_what_it_forgets(shop, tiny, tmp_path):
    old = tmp_path / "general"
    general(shop, old)
    common = ("--backbone", tiny, "--steps", 2, "--batch-size", 8, "--device", "cpu", "--workers", 0)
    start = run_command("train", "--data", old, "--method", "clip", *common, "--out", tmp_path / "start")
    assert start.status == 0, start.err
    weights = ("--pretrained", tmp_path / "start" / "model.safetensors", "--old-data", old, "--seeds", 0)
    answer = run_command(
        *("study", "forgetting", "--data", shop, "--tags", "brand,season", "--split", "val", "--variants", "clip,e2"),
        *(*common, *weights, "--out", tmp_path / "out"),
    )
    assert answer.status == 0, answer.err
    record = json.loads((tmp_path / "out" / "metrics.json").read_text())
    clip, e2 = record["metrics"]["clip"], record["metrics"]["e2"]
    for domain in ("new", "old"):  # E2's gates are closed at the start
        assert clip[f"{domain}/0/SumR"] == pytest.approx(e2[f"{domain}/0/SumR"])
    command = (
        "evaluate",
        "retrieval",
        "--model",
        tmp_path / "start",
        "--data",
        old,
        "--split",
        "val",
        "--workers",
        0,
        "--json",
    )
    assert json.loads(run_command(*command).out)["results"][0]["metrics"]["SumR"] == pytest.approx(clip["old/0/SumR"])

"""The check of a catalogue: planted faults are found, numbers agree with plain references, and the page works in a browser."""

import io
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image, ImageDraw

from e2.benchmarks.catalogue import neighbours
from e2.benchmarks.catalogue.check import outliers
from e2.benchmarks.catalogue.copies import copy_of
from e2.benchmarks.catalogue.labels import suspects
from e2.benchmarks.catalogue.neighbours import nearest_others
from e2.benchmarks.catalogue.photos import fingerprints
from e2.benchmarks.catalogue.projection import project
from e2.benchmarks.catalogue.splits import AllSplits
from e2.benchmarks.catalogue.twins import BITS, SHADES, alike, close_photos, equal_keys
from e2.benchmarks.catalogue.words import tag_faults, text_faults
from e2.data import open_catalogue
from e2.data.product import Product
from tests.command import names_in, run_command
from tests.conftest import axe_faults

HOSTILE = "</script><script>document.title='owned'</script> tee"


def photo(seed: int) -> Image.Image:
    """A drawn picture of a few rectangles, whose perceptual hash is its own."""
    rng = np.random.default_rng(seed)
    picture = Image.new("RGB", (96, 96), "white")
    for _ in range(6):
        x, y, w, h = rng.integers(8, 60, 4)
        picture.paste(tuple(rng.integers(0, 255, 3).tolist()), (x, y, x + w, y + h))
    return picture


def encoded(picture: Image.Image, quality: int = 95) -> dict:
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=quality)
    return {"bytes": file.getvalue(), "path": None}


@pytest.fixture(scope="module")
def faulty(tmp_path_factory):
    """A catalogue of two splits with one fault of each kind."""
    folder = tmp_path_factory.mktemp("faulty")
    brands = ("Puma", "Nike", "PUMA")
    rows = [
        {
            "product_id": f"p{i}",
            "image": encoded(photo(i)),
            "caption": f"Tee number {i}",
            "brand": brands[i % 3],
            "shop": "ours",
            "sku": f"s{i}",
        }
        for i in range(24)
    ]
    rows[1]["image"] = rows[0]["image"]  # the same photo, in both splits
    rows[2]["image"] = encoded(photo(3).resize((80, 80)), 70)  # nearly the same
    rows[4]["caption"] = "tee  NUMBER 5"  # the same text
    rows[6]["caption"] = "Tee\nof two lines"
    rows[7]["caption"] = HOSTILE
    rows[8]["caption"] = "word " * 90
    rows[9]["image"] = {"bytes": b"no photo", "path": None}
    for split, own in (("train", rows[:1] + rows[2:]), ("test", rows[1:2])):
        pq.write_table(pa.Table.from_pylist(own), folder / f"{split}.parquet")
    return folder


@pytest.fixture(scope="module")
def checked(faulty, tiny, tmp_path_factory):
    out = tmp_path_factory.mktemp("checked")
    done = run_command(
        "data",
        "check",
        faulty,
        "--tags",
        "brand,shop,sku",
        "--model",
        f"open_clip:{tiny}",
        "--device",
        "cpu",
        "--workers",
        0,
        "--out",
        out,
    )
    assert done.status == 0, done.err
    return out, done


def test_every_planted_fault_is_found(checked):
    out, done = checked
    record = json.loads((out / "check.json").read_text())
    assert record["same_photo"] == [[["train", "p0"], ["test", "p1"]]] == record["photo_in_several_splits"]
    assert record["near_duplicate_photo"] == [[["train", "p2"], ["train", "p3"]]]
    assert record["same_text"] == [[["train", "p4"], ["train", "p5"]]]
    assert record["texts"]["spans_lines"] == [["train", "p6"]] and record["texts"]["cut"] == [["train", "p8"]]
    assert record["bad_rows"] == {"broken image": 1} and record["products"] == 23
    assert [ways.keys() for ways in record["tags"]["brand"]["spellings"]] == [{"Puma", "PUMA"}]
    assert record["tags"]["shop"]["constant"] and record["tags"]["sku"]["all_distinct"]
    assert {one["given"] for one in record["tag_suspects"]["brand"]} <= {"Puma", "PUMA", "Nike"}
    assert not any({one["given"], one["suggested"]} == {"Puma", "PUMA"} for one in record["tag_suspects"]["brand"])
    assert len(record["map"]) == 23 and np.isfinite([place[2:] for place in record["map"]]).all()
    assert "1  photos in several splits" in done.out and names_in(out) == ["check.json", "index.html"]


def test_without_an_encoder_it_tells_what_needs_one(faulty, tmp_path):
    done = run_command("data", "check", faulty, "--out", tmp_path)
    assert done.status == 0 and "–  tags in doubt" in done.out
    record = json.loads((tmp_path / "check.json").read_text())
    assert record["model"] is None and record["map"] == [] == record["outliers"] and len(record["same_photo"]) == 1


def test_stored_vectors_stand_for_the_encoder(faulty, tiny, checked, tmp_path):
    model = ("--model", f"open_clip:{tiny}", "--device", "cpu", "--workers", 0)
    read = ("--split", "train", "--on-bad-row", "skip")
    assert run_command("embed", "--data", faulty, *read, *model, "--what", "image", "--out", tmp_path / "v").status == 0
    both = tmp_path / "own", tmp_path / "stored"
    for out, features in zip(both, ((), ("--features", tmp_path / "v")), strict=True):
        done = run_command("data", "check", faulty, *read, *model, *features, "--out", out)
        assert done.status == 0, done.err
    own, stored = (json.loads((out / "check.json").read_text()) for out in both)
    assert own["outliers"] == stored["outliers"] and own["map"] == stored["map"]
    done = run_command("data", "check", faulty, *model, "--features", tmp_path / "v", "--out", tmp_path / "o")
    assert done.status == 2 and "name it by --split" in done.line
    done = run_command("data", "check", faulty, "--features", tmp_path / "v", "--out", tmp_path / "o")
    assert done.status == 2 and "by --model" in done.line


def test_hostile_texts_stay_texts(checked):
    html = (checked[0] / "index.html").read_text(encoding="utf-8")
    assert html.count("<script") == 2 and "\\u003c/script\\u003e" in html and "default-src 'none'" in html


def test_splits_are_one_sequence(faulty):
    parts = [open_catalogue(str(faulty), name, on_bad_row="skip", progress=False) for name in ("train", "test")]
    joined = AllSplits(parts)
    assert len(joined) == 23 and joined[-1].product_id == "p1" and joined.split_of(22) == "test"
    assert [joined[i].product_id for i in range(22)] == [product.product_id for product in parts[0]]


def test_near_hashes_are_those_of_a_plain_comparison():
    rng = np.random.default_rng(0)
    bits = rng.integers(0, 2, (40, 64), dtype=np.uint8)
    near = bits[:20].copy()
    for row, flips in zip(near, range(20), strict=True):
        row[rng.permutation(64)[: flips % 6]] ^= 1
    hashes = np.packbits(np.concatenate([bits, near]), axis=1)
    expected = [(row, row + 40) for row in range(20) if row % 6 <= BITS]
    assert close_photos(hashes, np.zeros((60, 3), np.uint8), np.arange(60)) == expected
    shades = np.repeat(np.arange(60) // 40 * (SHADES + np.arange(60) % 2), 3).reshape(60, 3).astype(np.uint8)
    assert close_photos(hashes, shades, np.arange(60)) == expected[::2]  # odd rows differ by one more


def test_a_garment_in_another_colour_is_no_copy():
    """As shops photograph them: a perceptual hash sees the outline alone."""
    tees = []
    for colour in ((200, 30, 30), (30, 60, 200)):
        picture = photo(3)
        picture.paste(colour, (20, 20, 76, 90))
        tees += [encoded(picture)["bytes"], encoded(picture.resize((80, 80)), 60)["bytes"]]
    products = [Product(f"p{row}", (tee,), ("a tee",), {}) for row, tee in enumerate(tees)]
    prints = fingerprints(products, progress=False)
    assert close_photos(prints.hashes, np.zeros_like(prints.colours), prints.products) == [(0, 1, 2, 3)]
    assert close_photos(prints.hashes, prints.colours, prints.products) == [(0, 1), (2, 3)]


def test_two_sunglasses_on_white_are_no_copies():
    """Nearly all of both is white, so that only a few fields differ, and these much."""
    glasses = []
    for lens in ((90, 60, 40), (60, 110, 70)):
        picture = Image.new("RGB", (216, 288), "white")
        draw = ImageDraw.Draw(picture)
        draw.line((20, 130, 70, 150), (20, 20, 20), 3)
        for left in (70, 115):
            draw.ellipse((left, 135, left + 38, 165), lens, (20, 20, 20), 2)
        glasses += [encoded(picture)["bytes"], encoded(picture.resize((72, 96)), 60)["bytes"]]
    products = [Product(f"p{row}", (one,), ("sunglasses",), {}) for row, one in enumerate(glasses)]
    prints = fingerprints(products, progress=False)
    assert close_photos(prints.hashes, np.zeros_like(prints.colours), prints.products) == [(0, 1, 2, 3)]
    assert close_photos(prints.hashes, prints.colours, prints.products) == [(0, 1), (2, 3)]


def test_a_product_is_no_twin_of_itself():
    assert equal_keys(["a", "a", "b", "a", None, None], [0, 0, 1, 2, 3, 4]) == [(0, 2)]


@pytest.mark.parametrize("most", [10, 1000])  # by clusters, all pairs
def test_neighbours_are_those_of_all_pairs(monkeypatch, most):
    monkeypatch.setattr(neighbours, "EXACT", most)
    vectors = np.random.default_rng(1).normal(size=(120, 16)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    found, scores = nearest_others(vectors, 5, progress=False)
    cosines = vectors @ vectors.T
    np.fill_diagonal(cosines, -np.inf)
    assert (found == np.argsort(-cosines, axis=1)[:, :5]).all()
    assert np.allclose(scores, np.sort(cosines, axis=1)[:, :-6:-1], atol=1e-5)
    assert nearest_others(vectors[:1], 5, progress=False)[0].shape == (1, 0)


def test_wrong_tags_are_doubted_and_rare_or_missing_ones_are_not():
    rng = np.random.default_rng(2)
    centres = np.eye(3, 8)
    labels = np.repeat([0, 1, 2], 30)
    vectors = centres[labels] + rng.normal(scale=0.15, size=(90, 8))
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    values: list[tuple[str, ...]] = [(("red", "green", "blue")[label],) for label in labels]
    values[5], values[40], values[70], values[71] = ("blue",), ("red",), (), ("teal",)
    found = suspects(values, *nearest_others(vectors, 10, progress=False))
    assert [(one.product, one.given, one.suggested) for one in sorted(found)] == [(5, "blue", "red"), (40, "red", "green")]
    assert suspects([("red",)] * 90, *nearest_others(vectors, 10, progress=False)) == []


def test_of_several_values_the_wrong_one_is_doubted_and_those_of_many_are_not():
    rng = np.random.default_rng(2)
    labels = np.repeat([0, 1], 30)
    vectors = np.eye(2, 8)[labels] + rng.normal(scale=0.15, size=(60, 8))
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    values = [(("casual", "flat"), ("boho", "long"))[label] for label in labels]
    values[10:25] = [("casual", "flat", "summer")] * 15  # half of them: no fault of either half
    values[5] = ("long", "casual")
    found = suspects(values, *nearest_others(vectors, 10, progress=False))
    assert [(one.product, one.given, one.suggested) for one in found] == [(5, "long", "flat")]


def test_one_far_photo_is_an_outlier():
    scores = np.random.default_rng(3).normal(0.8, 0.02, (50, 6))
    scores[17] = 0.1
    assert outliers(scores) == [(17, pytest.approx(0.1))]


def test_pairs_alike_come_once_and_in_order():
    found = alike(np.array([[1, 2], [0, 2], [-1, -1]]), np.array([[0.9, 0.99], [0.9, 0.2], [-np.inf, -np.inf]]), 0.8)
    assert found == [(0, 2, 0.99), (0, 1, 0.9)]


def test_the_map_keeps_groups_apart_and_follows_its_seed():
    vectors = np.repeat(np.eye(2, 8), 20, axis=0) + np.random.default_rng(4).normal(scale=0.01, size=(40, 8))
    places = project(vectors.astype(np.float32), seed=0)
    assert (places == project(vectors.astype(np.float32), seed=0)).all() and places.min() == 0 and places.max() == 1
    centres = places[:20].mean(0), places[20:].mean(0)
    assert np.linalg.norm(centres[0] - centres[1]) > 0.5
    assert project(vectors[:2], seed=0).shape == (2, 2)


def test_texts_and_tags_in_short():
    class Words:
        context_length = 3

        def __call__(self, texts, context_length=3):
            import torch

            ids = [[*map(len, text.split()), *[0] * context_length][:context_length] for text in texts]
            return torch.tensor(
                [
                    [*line[:-1], -1] if len(text.split()) >= context_length else line
                    for line, text in zip(ids, texts, strict=True)
                ]
            )

    assert text_faults([["a b"], ["a b c d", "a\rb"]], Words()) == {"spans_lines": [1], "cut": [1]}
    facts = tag_faults(["T-Shirt", "tshirt", None, "Coat"])
    assert facts["spellings"] == [{"T-Shirt": 1, "tshirt": 1}] and facts["products"] == 3 and facts["all_distinct"]
    assert tag_faults([None])["constant"] is False
    several = tag_faults(["casual | boho", "Casual", None, "boho | flat"])
    assert (several["products"], several["values"], several["spellings"]) == (3, 4, [{"casual": 1, "Casual": 1}])
    assert not several["constant"] and not several["all_distinct"]


def test_a_copy_is_smaller_and_alike():
    copy = copy_of(photo(1))
    assert copy.size < (96, 96) and copy.format == "JPEG"


def test_the_page_in_a_browser(browser, checked):
    tab = browser.new_page(viewport={"width": 390, "height": 844})
    errors: list[str] = []
    tab.on("pageerror", lambda error: errors.append(str(error)))
    tab.on("console", lambda message: errors.append(message.text) if message.type in ("error", "warning") else None)
    tab.goto((checked[0] / "index.html").as_uri())
    assert tab.evaluate("document.documentElement.scrollWidth") <= 390 and tab.title() == "Catalogue check"
    assert axe_faults(tab) == []
    x, y = tab.evaluate("place(3)")
    tab.locator("#plane").hover(position={"x": x, "y": y})
    assert tab.locator("#hint b").inner_text().startswith("p") and tab.locator("#hint img").get_attribute("src")
    tab.select_option("#entity", "shop")
    assert tab.locator("#legend li").all_inner_texts() == ["ours"]
    tab.click("#closer")
    assert tab.evaluate("zoom") == 1.5 and errors == []
    tab.close()

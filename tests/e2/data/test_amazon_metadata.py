"""Lines of both layouts, brands in all their spellings, and which products a plan takes."""

import gzip
import json
import sqlite3
from contextlib import closing

import pytest

from e2.data.amazon.brands import brand_key, clean_brand, is_placeholder
from e2.data.amazon.journal import Journal
from e2.data.amazon.metadata import Listing, Unusable, listing_of, read_lines
from e2.data.amazon.planning import Selection, write_plan
from e2.errors import InputError

SHOP = "https://m.media-amazon.com/images/I"
OF_2018 = {
    "asin": "B00A",
    "title": "Levi&#39;s Men&#39;s <b>501</b> Jeans\n",
    "brand": "\n by\n    Levi&#39;s\n",
    "imageURL": [f"{SHOP}/31a._SR38,50_.jpg", f"{SHOP}/31b._US40_.jpg"],
    "imageURLHighRes": [f"{SHOP}/31a.jpg"],
    "rank": "123,456inClothing",
}
OF_2023 = {
    "parent_asin": "B09X",
    "asin": "B09Y",
    "title": "Red Summer Dress",
    "store": "Visit the YUNJAC Store",
    "details": {"Department": "womens"},
    "images": [
        {"thumb": f"{SHOP}/41b._AC_US40_.jpg", "large": f"{SHOP}/41b._AC_.jpg", "variant": "PT01", "hi_res": None},
        {
            "thumb": f"{SHOP}/41a._AC_US40_.jpg",
            "large": f"{SHOP}/41a._AC_.jpg",
            "variant": "MAIN",
            "hi_res": f"{SHOP}/41a._AC_UL1500_.jpg",
        },
    ],
}


def line(row: dict | None = None, **changes) -> bytes:
    return json.dumps({**(row or OF_2018), **changes}).encode()


def reason(data: bytes) -> str:
    with pytest.raises(Unusable) as caught:
        listing_of(data)
    return str(caught.value)


def test_a_line_of_2018():
    photos = ((f"{SHOP}/31a.jpg",), (f"{SHOP}/31b.jpg",))
    assert listing_of(line()) == Listing("B00A", "Levi's Men's 501 Jeans", "Levi's", photos)
    thumbnails = line(imageURL=None, imageURLHighRes=None, image=[f"{SHOP}/51b._US40_.jpg"])
    assert listing_of(thumbnails).photos == ((f"{SHOP}/51b.jpg",),)


def test_a_line_of_2023():
    main = (f"{SHOP}/41a._AC_.jpg", f"{SHOP}/41a._AC_UL1500_.jpg", f"{SHOP}/41a.jpg")
    other = (f"{SHOP}/41b._AC_.jpg", f"{SHOP}/41b.jpg")
    assert listing_of(line(OF_2023)) == Listing("B09X", "Red Summer Dress", "YUNJAC", (main, other))
    assert listing_of(line(OF_2023, store=None, details={"Brand": "Zara"})).brand == "Zara"
    assert listing_of(line(OF_2023, store="Generic", details={"Brand": "Zara"})).brand == "Zara"


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"{'asin': 'python, not JSON'}", "malformed line"),
        (b"[1, 2]", "malformed line"),
        (b"[" * 100_000, "malformed line"),
        (b'{"asin": "A", "title": "cut', "malformed line"),
        (b"\xff\xfe{}", "malformed line"),
        (line(asin=None), "no id"),
        (line(asin=17), "no id"),
        (line(title=" "), "no title"),
        (line(title=["a", "b"]), "no title"),
        (line(title="<div></div>"), "broken title"),
        (line(title="var aPageStart = (new Date()).getTime(); a b"), "broken title"),
        (line(title="Jeans, blue"), "title too short"),
        (line(brand=None), "no brand"),
        (line(brand="®"), "no brand"),
        (line(brand="N/A"), "placeholder brand"),
        (line(OF_2023, images=[]), "no photo"),
        (line(OF_2023, images=["x", {"large": "file:///etc/passwd"}, {"large": {}}]), "no photo"),
        (line(imageURL="", imageURLHighRes=[None]), "no photo"),
    ],
)
def test_lines_that_give_no_product(data, expected):
    assert reason(data) == expected


def test_half_a_surrogate_pair_and_control_codes_do_no_harm():
    found = listing_of(b'{"asin": "A\\u0000", "title": "a \\ud83d b\\u001b[31m c", "brand": "X", "image": "http://a/b.jpg"}')
    assert found.product_id == "A" and found.title == "a b [31m c"


@pytest.mark.parametrize(
    ("given", "brand"),
    [
        ("Nike", "Nike"),
        ("by Nike", "Nike"),
        ("by\n\n    Nike", "Nike"),
        ("By Malene Birger", "By Malene Birger"),
        ("Visit the Tommy Hilfiger Store", "Tommy Hilfiger"),
        ("Brand: Carhartt", "Carhartt"),
        ("Levi's®", "Levi's"),
        ("SKECHERS(TM)", "SKECHERS"),
        ("H&amp;M.", "H&M"),
        ("The North Face Store", "The North Face Store"),
        ("...", ""),
    ],
)
def test_brands_without_what_surrounds_them(given, brand):
    assert clean_brand(given) == brand


def test_spellings_of_a_brand_share_a_key():
    assert len({brand_key(text) for text in ("Calvin Klein", "CALVIN KLEIN", "calvin-klein", "Calvin  Kleín")}) == 1
    assert brand_key("无印良品") and brand_key("Nike") != brand_key("Nike SB")
    assert all(is_placeholder(brand_key(text)) for text in ("Unknown", "GENERIC", "N/A", "No Brand", "Un-branded"))
    assert not is_placeholder(brand_key("Amazon Essentials"))


def test_lines_are_read_plain_and_packed_whatever_the_name(tmp_path):
    for name, data in (("a.jsonl", b"1\n\n2\n"), ("packed.jsonl", gzip.compress(b"1\n\n2\n"))):
        (tmp_path / name).write_bytes(data)
        assert [entry.strip() for entry in read_lines(tmp_path / name)] == [b"1", b"2"]


@pytest.mark.parametrize("damage", [lambda data: data[:-20], lambda data: data[:40] + b"\0" * 30 + data[70:]])
def test_a_damaged_archive_is_told(tmp_path, damage):
    file = tmp_path / "meta.jsonl.gz"
    file.write_bytes(damage(gzip.compress(b"".join(line(asin=f"{number}") + b"\n" for number in range(5000)))))
    with pytest.raises(InputError, match="damaged after line .*download it again"):
        list(read_lines(file))


def products(file) -> list[tuple]:
    with closing(sqlite3.connect(file)) as plan:
        return plan.execute("SELECT product_id, brand, split, shard FROM product ORDER BY number").fetchall()


def test_a_plan_counts_every_line_once(tmp_path):
    def other(number: int, **changes) -> bytes:
        return line(OF_2023, parent_asin=f"p{number}", title=f"Red Dress {number}", **changes)

    lines = [
        *(other(number, store="Zara") for number in range(4)),
        other(4, store="ZARA"),
        other(0, store="Zara"),
        line(OF_2023, parent_asin="q", title="RED  dress 1", store="Zara"),  # the same article again
        other(7, store="Rare"),
        b"no line",
    ]
    counts = write_plan(tmp_path / "plan", lines, Selection(min_brand_products=2, photos=2, shard_size=2, val=0, test=0))
    left_out = {"duplicate id": 1, "duplicate title and photo": 1, "rare brand": 1, "malformed line": 1}
    assert counts == {"lines": 9, "left_out": left_out, "products": 5}
    assert products(tmp_path / "plan") == [(f"p{number}", "Zara", "train", number // 2) for number in range(5)]
    with closing(Journal(tmp_path / "plan")) as journal:
        views = [photo.urls for photo in journal.pending()]
    assert len(views) == 10 and views[0][0].endswith("41a._AC_.jpg") and views[1][0].endswith("41b._AC_.jpg")


def test_splits_follow_from_title_and_seed_alone():
    selection = Selection(val=0.1, test=0.2)
    splits = [selection.split_of(f"shirt {number}") for number in range(3000)]
    assert abs(splits.count("val") - 300) < 60 and abs(splits.count("test") - 600) < 80
    assert splits == [selection.split_of(f"shirt {number}") for number in range(3000)]
    assert splits != [Selection(val=0.1, test=0.2, seed=1).split_of(f"shirt {number}") for number in range(3000)]


def test_a_limit_draws_at_random_and_the_same_again(tmp_path):
    lines = [line(asin=f"p{number}", title=f"Blue Jeans {number}") for number in range(200)]
    drawn = []
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        assert write_plan(tmp_path / name, lines, Selection(limit=50, seed=seed))["left_out"] == {"beyond the limit": 150}
        drawn.append([row[0] for row in products(tmp_path / name)])
    assert drawn[0] == drawn[1] != drawn[2] and drawn[0] != [f"p{number}" for number in range(50)]

"""Whole builds against a server that fails, stalls and lies, killed and resumed; and how the result is read."""

import json
import signal

import pytest

from e2.data import open_catalogue, splits_of
from e2.data.amazon import build
from e2.data.amazon.build import build_amazon_fashion
from e2.data.amazon.planning import Selection
from e2.data.fetch import turns
from e2.data.fetch.photos import Manners
from e2.data.images import load_image
from e2.errors import InputError, TrainingStopped
from e2.outputs import LEDGER
from tests.command import contents, run_command
from tests.e2.data.shop_server import GOOD, SIDE, reached, run_until, shop_server

BAD = ("gone", "down", "stall", "short", "html", "cut", "huge", "dot", "noai", "loop")
QUICK = Manners(rate=10_000, connections=8, timeout=1.5, retries=1)


@pytest.fixture
def shop(monkeypatch):
    with shop_server() as shop, reached(monkeypatch):
        yield shop


def write_meta(file, urls):
    """A product for each list of views, each view a list of URLs, or one URL; brands A, B and C in turn."""
    with file.open("w") as lines:
        for number, views in enumerate(urls):
            views = [[view] if isinstance(view, str) else view for view in views]
            images = [dict(zip(("large", "hi_res"), view, strict=False)) for view in views]
            row = {"parent_asin": f"p{number}", "title": f"Red dress {number}", "store": f"Brand {'ABC'[number % 3]}"}
            lines.write(json.dumps({**row, "images": images}) + "\n")
    return file


def everything(out) -> dict:
    spec = f"amazon-fashion:{out}"
    return {p.product_id: p for split in splits_of(spec) for p in open_catalogue(spec, split, progress=False)}


def test_good_photos_come_and_each_lost_one_has_its_reason(shop, tmp_path):
    kinds = [*GOOD, *BAD] * 2
    meta = write_meta(tmp_path / "meta.jsonl", [[shop.url(kind, number)] for number, kind in enumerate(kinds)])
    found = build_amazon_fashion(
        meta, tmp_path / "out", selection=Selection(val=0.2, test=0.2, shard_size=3), manners=QUICK, progress=False
    )
    assert found == json.loads((tmp_path / "out/statistics.json").read_text())
    assert found["photos"]["planned"] == 30 and found["photos"]["fetched"] == 10
    assert found["photos"]["lost"] == dict.fromkeys(
        [
            "http 404",
            "http 503",
            "timeout",
            "connection broke off",
            "not a photo",
            "damaged photo",
            "too large",
            "smaller than 64 pixels",
        ]
        + ["refused by X-Robots-Tag", "redirects without end"],
        2,
    )
    assert found["total"] == {"pairs": 10, "products": 10, "brands": 3, "words_mean": 3.0, "brand_in_title_percent": 0.0}
    products = everything(tmp_path / "out")
    assert sorted(products) == sorted(f"p{number}" for number, kind in enumerate(kinds) if kind in GOOD)
    for product in products.values():
        assert load_image(product.images[0]).size == (SIDE, SIDE)
        assert product.captions == (f"Red dress {product.product_id[1:]}",) and product.tags["brand"].startswith("Brand ")
    failures = [json.loads(line) for line in (tmp_path / "out/failures.jsonl").read_text().splitlines()]
    assert len(failures) == 20 and all(failure["lost"] for failure in failures)
    assert {name.partition("-")[0] for name in contents(tmp_path / "out") if name != LEDGER} == {
        "failures.jsonl",
        "statistics.json",
        *(split for split in found["splits"]),
    }


def test_several_views_and_urls_that_stand_in(shop, tmp_path):
    views = [
        [[shop.url("gone", 1), shop.url("fine", 1)], shop.url("html", 2), shop.url("fine", 3)],
        [shop.url("fine", 4)],
        [shop.url("gone", 5), shop.url("gone", 6)],
    ]
    meta = write_meta(tmp_path / "meta.jsonl", views)
    selection = Selection(photos=3, val=0, test=0)
    found = build_amazon_fashion(meta, tmp_path / "out", selection=selection, manners=QUICK, progress=False)
    products = everything(tmp_path / "out")
    assert {name: len(product.images) for name, product in products.items()} == {"p0": 2, "p1": 1}
    assert found["total"]["pairs"] == 3 and found["photos"] == {
        "planned": 6,
        "fetched": 3,
        "lost": {"http 404": 2, "not a photo": 1},
    }
    failures = [json.loads(line) for line in (tmp_path / "out/failures.jsonl").read_text().splitlines()]
    assert [(failure["url"], failure["lost"]) for failure in failures] == [
        (shop.url("gone", 1), False),
        (shop.url("html", 2), True),
        (shop.url("gone", 5), True),
        (shop.url("gone", 6), True),
    ]


def test_a_build_does_not_depend_on_what_came_first(shop, tmp_path):
    meta = write_meta(tmp_path / "meta.jsonl", [[shop.url("flaky" if n % 3 else "fine", n)] for n in range(40)])
    selection = Selection(val=0.2, test=0.2, shard_size=5)
    for name, connections in (("a", 1), ("b", 8)):
        manners = Manners(rate=10_000, connections=connections, timeout=5)
        build_amazon_fashion(meta, tmp_path / name, selection=selection, manners=manners, progress=False)
    assert contents(tmp_path / "a") == contents(tmp_path / "b") | {"failures.jsonl": b""}


def test_killed_and_resumed_nothing_is_fetched_twice_and_nothing_doubles(shop, tmp_path):
    shop.pause = 0.02
    meta = write_meta(tmp_path / "meta.jsonl", [[shop.url("fine", n)] for n in range(150)])
    selection = Selection(val=0.1, test=0.1, shard_size=20)
    unbroken = build_amazon_fashion(meta, tmp_path / "unbroken", selection=selection, manners=QUICK, progress=False)
    shop.asked.clear()
    out, same = tmp_path / "out", ("--val", 0.1, "--test", 0.1, "--shard-size", 20)
    assert run_until(40, shop, "amazon-fashion", "--meta", meta, "--out", out, *same) == -signal.SIGKILL
    assert run_until(60, shop, "amazon-fashion", "--meta", meta, "--out", out, *same, "--resume") == -signal.SIGKILL
    with pytest.raises(InputError, match="no finished build"):
        splits_of(f"amazon-fashion:{out}")
    assert run_until(float("inf"), shop, "amazon-fashion", "--meta", meta, "--out", out, *same, "--resume") == 0
    assert json.loads((out / "statistics.json").read_text()) == unbroken
    assert contents(out) == contents(tmp_path / "unbroken")
    under_way = 2 * turns.AHEAD * 4  # kills, photos handed to the threads
    assert len(shop.asked) == 150 and shop.asked.total() <= 150 + under_way


def test_a_stopped_build_is_neither_mixed_with_another_nor_thrown_away(shop, tmp_path, monkeypatch):
    meta = write_meta(tmp_path / "meta.jsonl", [[shop.url("fine", n)] for n in range(9)])
    out = tmp_path / "out"
    with monkeypatch.context() as patched:
        patched.setattr(build, "_write", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            build_amazon_fashion(meta, out, manners=QUICK, progress=False)
    before = contents(out)
    with pytest.raises(InputError, match="unfinished build .* continue with --resume"):
        build_amazon_fashion(meta, out, manners=QUICK, progress=False)
    with pytest.raises(InputError, match="other settings .*seed was 0, is 3"):
        build_amazon_fashion(meta, out, selection=Selection(seed=3), manners=QUICK, resume=True, progress=False)
    assert contents(out).keys() == before.keys()
    asked = shop.asked.total()
    build_amazon_fashion(meta, out, manners=QUICK, resume=True, progress=False)
    assert shop.asked.total() == asked == 9
    finished = contents(out)
    with pytest.raises(InputError, match="a finished build .* --overwrite"):
        build_amazon_fashion(meta, out, manners=QUICK, progress=False)
    assert build_amazon_fashion(meta, out, manners=QUICK, resume=True, progress=False)["total"]["products"] == 9
    assert contents(out) == finished and shop.asked.total() == 9
    build_amazon_fashion(meta, out, selection=Selection(shard_size=1), manners=QUICK, overwrite=True, progress=False)
    assert len(list(out.glob("*.tar"))) == 9


def test_an_outage_stops_the_build_and_loses_nothing(shop, tmp_path, monkeypatch):
    monkeypatch.setattr(turns, "OUTAGE", 5)
    meta = write_meta(tmp_path / "meta.jsonl", [[shop.url("fine", n)] for n in range(40)])
    shop.serves = 12
    for resume in (False, True):
        with pytest.raises(TrainingStopped, match="photos in a row .*--resume"):
            build_amazon_fashion(meta, tmp_path / "out", manners=QUICK, resume=resume, progress=False)
    shop.serves = float("inf")
    found = build_amazon_fashion(meta, tmp_path / "out", manners=QUICK, resume=True, progress=False)
    assert found["photos"] == {"planned": 40, "fetched": 40, "lost": {}}


def test_an_outage_that_ends_by_itself_costs_no_photo(shop, tmp_path):
    meta = write_meta(tmp_path / "meta.jsonl", [[shop.url("fine", n)] for n in range(40)])
    shop.serves, shop.recovers = 12, 40  # in between it is out of order
    found = build_amazon_fashion(meta, tmp_path / "out", manners=QUICK, progress=False)
    assert found["photos"] == {"planned": 40, "fetched": 40, "lost": {}}


def test_a_host_that_is_gone_for_good_is_no_outage(shop, tmp_path, monkeypatch):
    monkeypatch.setattr(turns, "OUTAGE", 5)
    urls = [[shop.url("fine", n)] for n in range(5)] + [["http://127.0.0.1:1/x.jpg"]] * 12
    meta = write_meta(tmp_path / "meta.jsonl", urls)
    found = build_amazon_fashion(meta, tmp_path / "out", manners=QUICK, progress=False)
    assert found["photos"] == {"planned": 17, "fetched": 5, "lost": {"no connection": 12}}


def test_the_command_line_and_its_mistakes(shop, tmp_path):
    meta = write_meta(tmp_path / "meta.jsonl", [[shop.url("fine", n)] for n in range(30)])
    quick = ("--rate", 1000, "--val", 0.2, "--test", 0.2)
    answer = run_command("data", "amazon-fashion", "--meta", meta, "--out", tmp_path / "out", *quick)
    assert answer.status == 0 and "FashionGen" in answer.out and "60,000" in answer.out, answer.err
    info = run_command("data", "info", f"amazon-fashion:{tmp_path / 'out'}", "--json")
    assert json.loads(info.out)["tags"] == ["brand"]
    (tmp_path / "none.jsonl").write_text('{"asin": "1"}\n')
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").touch()
    gone = write_meta(tmp_path / "gone.jsonl", [[shop.url("gone", n)] for n in range(3)])
    for arguments, said in [
        (("--meta", tmp_path / "absent", "--out", tmp_path / "a"), "No such file"),
        (("--meta", tmp_path, "--out", tmp_path / "a"), "Is a directory"),
        (("--meta", tmp_path / "none.jsonl", "--out", tmp_path / "a"), "none of 1 line is a product to take (1 no title)"),
        (("--meta", meta, "--out", tmp_path / "full"), "holds other files"),
        (("--meta", meta, "--out", meta), "is a file"),
        (("--meta", meta, "--out", tmp_path / "a", "--val", 0.6, "--test", 0.5), "nothing to train on"),
        (("--meta", gone, "--out", tmp_path / "b"), "no photo could be fetched (3 http 404)"),
    ]:
        answer = run_command("data", "amazon-fashion", *arguments)
        assert answer.status == 2 and said in answer.line
    assert run_command("data", "info", f"amazon-fashion:{tmp_path / 'b'}").status == 2

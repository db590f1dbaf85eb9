"""Imports of exports whose photos are on the web: against a server that fails, stalls and lies; killed and resumed."""

import json
import signal

import pytest

from e2.data import Columns, open_catalogue
from e2.data.fetch import turns
from e2.data.fetch.photos import Manners, PhotoFetcher
from e2.data.shop.detect import shop_source
from e2.data.shop.importing import import_export
from e2.errors import InputError, TrainingStopped
from tests.command import contents, run_command
from tests.e2.data.conftest import encoded, photo
from tests.e2.data.shop_server import GOOD, reached, run_until, shop_server

QUICK = Manners(rate=10_000, connections=8, timeout=1.5, retries=1)
REASONS = {
    "gone": "http 404",
    "down": "http 503",
    "stall": "timeout",
    "short": "connection broke off",
    "html": "not a photo",
    "cut": "damaged photo",
    "huge": "too large",
    "dot": "smaller than 64 pixels",
    "noai": "refused by X-Robots-Tag",
    "loop": "redirects without end",
}


@pytest.fixture
def shop(monkeypatch):
    with shop_server() as shop, reached(monkeypatch):
        yield shop


def write_shopify(file, urls):
    """A product for each list of addresses."""
    rows = [
        f"p{number},{title},{url}\n"
        for number, some in enumerate(urls)
        for title, url in zip(["Tee", "", ""], some, strict=False)
    ]
    file.write_text("Handle,Title,Image Src\n" + "".join(rows))
    return f"shopify:{file}"


def run_import(spec, out, manners=QUICK, **options):
    return import_export(shop_source(spec, Columns()), spec, out, manners=manners, progress=False, **options)


def test_lost_photos_are_counted_and_cost_only_products_without_others(shop, tmp_path):
    urls = [[shop.url(kind, number)] for number, kind in enumerate([*GOOD, *REASONS])]
    urls += [[shop.url("gone", 90), shop.url("fine", 91)], ["file:///etc/passwd"], ["ftp://shop.example/a.jpg"], ["im/0.jpg"]]
    urls += [["im/1.jpg", "im/none.jpg", "im/0.jpg"]]
    (tmp_path / "im").mkdir()
    (tmp_path / "im/0.jpg").write_bytes(encoded(photo(0, (80, 80))))
    (tmp_path / "im/1.jpg").write_bytes(encoded(photo(0, (80, 80)))[:100])
    run_import(write_shopify(tmp_path / "p.csv", urls), tmp_path / "out")
    found = {product.product_id: product for product in open_catalogue(str(tmp_path / "out"), progress=False)}
    assert set(found) == {f"p{number}" for number in [*range(len(GOOD)), 15, 18, 19]}
    assert len(found["p15"].images) == len(found["p19"].images) == 1
    report = json.loads((tmp_path / "out/import.json").read_text())
    lost = dict.fromkeys(REASONS.values(), 1) | {"http 404": 2, "no web address": 2}
    left_out = {"http 404": 1, "broken image": 1, "missing image file": 1}  # of p15 and p19
    assert report["photos"] == {"wanted": 19, "fetched": 6, "lost": lost, "left_out": left_out}
    assert report["splits"] == {"p": 8}
    assert report["left_out"] == {"no photo could be fetched": 12}
    assert json.loads((tmp_path / "out/failures.json").read_text())["file:///etc/passwd"] == "no web address"
    assert not list((tmp_path / "out").glob("photos.sqlite*"))


def test_addresses_without_a_scheme_are_fetched(monkeypatch, tmp_path):
    asked = []
    monkeypatch.setattr(PhotoFetcher, "_once", lambda self, url: asked.append(url) or encoded(photo(1, (80, 80))))
    run_import(write_shopify(tmp_path / "p.csv", [["//cdn.shop.example/a.jpg?v=1"]]), tmp_path / "out")
    assert asked == ["https://cdn.shop.example/a.jpg?v=1"]
    assert len(open_catalogue(str(tmp_path / "out"), progress=False)[0].images) == 1


def test_private_addresses_are_left_out(tmp_path):
    with shop_server() as shop:
        spec = write_shopify(tmp_path / "p.csv", [[shop.url("fine", number)] for number in range(3)])
        with pytest.raises(InputError, match="3 no photo could be fetched.*\n.*private address"):
            run_import(spec, tmp_path / "out")
        assert not shop.connections


def test_a_host_without_a_public_address_costs_no_waiting():
    asked = PhotoFetcher(Manners(rate=0.1))
    reasons = [asked.fetch([f"http://127.0.0.1:{port}/a.jpg"]).failures[0][1] for port in range(1, 4)]
    assert reasons == ["private address"] * 3 and asked.rate._next.keys() == {"127.0.0.1"}


def test_only_photos_of_rows_that_are_used_are_fetched(shop, tmp_path):
    rows = [("a", "Tee", "gone", 1), ("a", "Tee", "fine", 2), ("a", "Tee", "fine", 3)]  # the first row has lost its photo
    rows += [("b", "Hat", "fine", number) for number in range(10, 1000)] + [("c", "", "fine", 5), ("", "Cap", "fine", 6)]
    lines = [f"{name},{title},{shop.url(kind, number)}\n" for name, title, kind, number in rows]
    (tmp_path / "t.csv").write_text("product_id,caption,image\n" + "".join(lines))
    assert run_import(str(tmp_path / "t.csv"), tmp_path / "out") == {"t": 2}
    assert set(shop.asked) == {"/gone/1.jpg", "/fine/2.jpg", "/fine/3.jpg", "/fine/10.jpg"}
    left_out = json.loads((tmp_path / "out/import.json").read_text())["left_out"]
    assert left_out == {"duplicate id": 990, "no photo could be fetched": 1, "no text": 1, "no id": 1}


def test_the_command_tells_what_was_left_out(shop, tmp_path):
    rows = [{"id": 1, "title": "Tee", "images": [{"src": shop.url("fine", 1)}]}, {"id": 2, "title": "Hat", "images": []}]
    rows += [{"id": 3, "title": "Cap", "images": [{"src": shop.url("html", 1)}]}]
    (tmp_path / "p.json").write_text(json.dumps(rows))
    answer = run_command("data", "import", tmp_path / "p.json", "--out", tmp_path / "out", "--rate", 1000, "--test", 0.4)
    assert answer.status == 0 and "wrote" in answer.out and "(1 product)" in answer.out
    for line in ("fetched 1 of 2 photos; lost 1 not a photo", "left out 2 of 3 rows: 1 no image, 1 no photo could be fetched"):
        assert line in answer.err


def test_a_table_with_addresses_of_several_photos_in_a_cell(shop, tmp_path):
    cell = f"{shop.url('fine', 1)}?size=w_2,h_3, {shop.url('fine', 2)}"
    (tmp_path / "t.csv").write_text(f'product_id,image,caption,brand\n7,"{cell}",Tee,Acme\n')
    answer = run_command("data", "info", tmp_path / "t.csv")
    assert answer.status == 2 and "e2 data import SPEC" in answer.err
    run_import(str(tmp_path / "t.csv"), tmp_path / "out")
    (product,) = open_catalogue(str(tmp_path / "out"), tags=("brand",), progress=False)
    assert len(product.images) == 2 and product.tags == {"brand": "Acme"}


def test_killed_and_resumed_nothing_is_fetched_twice(shop, tmp_path):
    shop.pause = 0.02
    spec = write_shopify(tmp_path / "p.csv", [[shop.url("fine", n)] for n in range(120)])
    assert run_until(40, shop, "import", spec, "--out", tmp_path / "out") == -signal.SIGKILL
    answer = run_command("data", "import", spec, "--out", tmp_path / "out")
    assert answer.status == 2 and "continue with --resume" in answer.line
    assert run_until(float("inf"), shop, "import", spec, "--out", tmp_path / "out", "--resume") == 0
    assert len(shop.asked) == 120 and shop.asked.total() <= 120 + turns.AHEAD * 4
    assert len(open_catalogue(str(tmp_path / "out"), progress=False)) == 120
    before = contents(tmp_path / "out")
    assert run_import(spec, tmp_path / "out", resume=True) == {"p": 120} and contents(tmp_path / "out") == before


def test_an_outage_stops_the_import_and_loses_nothing(shop, tmp_path, monkeypatch):
    monkeypatch.setattr(turns, "OUTAGE", 5)
    spec = write_shopify(tmp_path / "p.csv", [[shop.url("fine", n)] for n in range(30)])
    shop.serves = 12
    with pytest.raises(TrainingStopped, match="photos in a row .*--resume"):
        run_import(spec, tmp_path / "out.parquet")
    shop.serves = float("inf")
    assert run_import(spec, tmp_path / "out.parquet", resume=True) == {"p": 30}
    assert len(open_catalogue(str(tmp_path / "out.parquet"), progress=False)) == 30

"""Photos from a server that fails, stalls and lies."""

import time

import pytest

from e2.data.amazon import photos
from e2.data.amazon.photos import Fetched, Manners, PhotoFetcher, RateLimit
from tests.e2.data.shop_server import GOOD, shop_server


@pytest.fixture(scope="module")
def shop():
    with shop_server() as shop:
        yield shop


@pytest.fixture
def fetcher(monkeypatch):
    monkeypatch.setattr(photos, "FIRST_PAUSE", 0.01)
    return PhotoFetcher(Manners(rate=1000, connections=4, timeout=1.5, retries=1))


@pytest.mark.parametrize("kind", GOOD)
def test_photos_that_come_in_the_end(shop, fetcher, kind):
    found = fetcher.fetch([shop.url(kind)])
    assert found.contents and not found.failures


@pytest.mark.parametrize(
    ("kind", "reason", "attempts", "outage"),
    [
        ("gone", "http 404", 1, False),
        ("down", "http 503", 2, True),
        ("stall", "timeout", 2, True),
        ("drip", "timeout", 2, True),
        ("short", "connection broke off", 2, True),
        ("html", "not a photo", 1, False),
        ("empty", "not a photo", 1, False),
        ("cut", "damaged photo", 1, False),
        ("huge", "too large", 1, False),
        ("endless", "too large", 1, False),
        ("dot", "smaller than 64 pixels", 1, False),
        ("noai", "refused by X-Robots-Tag", 1, False),
        ("loop", "redirects without end", 1 + photos.REDIRECTS, False),
    ],
)
def test_each_failure_has_its_reason_and_only_passing_ones_are_tried_again(shop, fetcher, kind, reason, attempts, outage):
    url = shop.url(kind, "once")
    assert fetcher.fetch([url]) == Fetched(None, ((url, reason),), outage)
    assert shop.asked[f"/{kind}/once.jpg"] == attempts


def test_connections_are_used_again(shop):
    fetcher = PhotoFetcher(Manners(rate=1000, connections=4, retries=0))
    before = shop.connections
    kinds = ["fine", "gone", "html", "fine", "moved"] * 4
    found = [fetcher.fetch([shop.url(kind, number)]) for number, kind in enumerate(kinds)]
    assert [reason for photo in found for _, reason in photo.failures] == ["http 404", "not a photo"] * 4
    assert shop.connections - before <= 1 + kinds.count("gone")  # what is left on one after an error page is not read


def test_the_next_url_stands_in_and_the_failed_one_is_told(shop, fetcher):
    found = fetcher.fetch([shop.url("gone", 5), shop.url("html", 5), shop.url("fine", 5), shop.url("fine", 6)])
    assert found.contents and found.failures == ((shop.url("gone", 5), "http 404"), (shop.url("html", 5), "not a photo"))
    assert shop.asked["/fine/6.jpg"] == 0


@pytest.mark.parametrize(
    ("url", "reason"),
    [("http://127.0.0.1:1/a.jpg", "no connection"), ("http://[::bad/a.jpg", "bad url"), ("http://a:99999/b.jpg", "bad url")],
)
def test_no_server_and_no_url(fetcher, url, reason):
    assert fetcher.fetch([url]).failures == ((url, reason),)


def test_a_host_is_asked_at_the_rate_and_rests_when_it_asks_for_it():
    limit = RateLimit(rate=50)
    start = time.monotonic()
    for _ in range(11):
        limit.wait("a")
        limit.wait("b")  # has its own turns
    assert 0.2 <= time.monotonic() - start < 0.35
    limit.hold("a", 0.2)
    start = time.monotonic()
    limit.wait("b")
    assert time.monotonic() - start < 0.1
    limit.wait("a")
    assert time.monotonic() - start >= 0.19

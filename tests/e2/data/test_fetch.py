"""Photos from a server that fails, stalls and lies."""

import socket
import time

import pytest

from e2.data.fetch import addresses, photos
from e2.data.fetch.photos import Fetched, Manners, PhotoFetcher, RateLimit
from tests.e2.data.shop_server import GOOD, reached, shop_server


@pytest.fixture(scope="module")
def shop():
    with shop_server() as shop:
        yield shop


@pytest.fixture
def fetcher(monkeypatch):
    with reached(monkeypatch):
        yield PhotoFetcher(Manners(rate=1000, connections=4, timeout=1.5, retries=1))


@pytest.mark.parametrize("kind", GOOD)
def test_photos_that_come_in_the_end(shop, fetcher, kind):
    found = fetcher.fetch([shop.url(kind)])
    assert found.contents and not found.failures


@pytest.mark.parametrize(
    ("kind", "reason", "attempts", "outage"),
    [
        ("gone", "http 404", 1, False),
        ("down", "http 503", 2, True),
        ("stall", "timeout", 1, True),
        ("drip", "timeout", 1, True),
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


def test_connections_are_used_again(shop, monkeypatch):
    monkeypatch.setattr(addresses, "is_public", lambda address: True)
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
    [
        ("http://127.0.0.1:1/a.jpg", "no connection"),
        ("http://[::bad/a.jpg", "bad url"),
        ("http://a:99999/b.jpg", "bad url"),
        ("file:///etc/passwd", "no web address"),
        ("ftp://shop.example/a.jpg", "no web address"),
        ("/a.jpg", "no web address"),
    ],
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


class Names:
    """A name server of our own: the addresses of each host, a new answer each time it is asked."""

    def __init__(self, **answers: list[list[str]]):
        self.answers, self.asked = answers, []
        self._resolve = socket.getaddrinfo

    def getaddrinfo(self, host, port, *args, **options):
        self.asked.append(host)
        answers = self.answers.get(host.partition(".")[0])
        if answers is None:
            return self._resolve(host, port, *args, **options)
        found = answers.pop(0) if len(answers) > 1 else answers[0]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in found]


@pytest.fixture
def names(monkeypatch):
    names = Names(inner=[["10.1.2.3", "127.0.0.1"]], rebound=[["8.8.8.8"], ["127.0.0.1"]], open=[["127.0.0.1"]])
    monkeypatch.setattr(socket, "getaddrinfo", names.getaddrinfo)
    return names


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "localhost", "inner.example", "2130706433", "0"])
def test_private_addresses_are_not_asked(shop, names, host):
    url = f"http://{host}:{shop.address.rpartition(':')[2]}/fine/1.jpg"
    connections = shop.connections
    assert PhotoFetcher(Manners(retries=1)).fetch([url]) == Fetched(None, ((url, "private address"),))
    assert shop.connections == connections


def test_a_redirect_to_a_private_address_is_not_followed(shop, names, monkeypatch):
    port = shop.address.rpartition(":")[2]
    real = addresses.public_addresses
    asked = []

    def once_public(host, port):
        asked.append(host)
        return ["127.0.0.1"] if host == "open.example" else real(host, port)

    monkeypatch.setattr(addresses, "public_addresses", once_public)
    url = f"http://open.example:{port}/to/http:,,localhost:{port},fine,1.jpg"
    assert PhotoFetcher(Manners(retries=0)).fetch([url]).failures == ((url, "private address"),)
    assert asked == ["open.example", "localhost"] and not shop.asked["/fine/1.jpg"]


def test_the_checked_address_is_the_one_connected_to(names, monkeypatch):
    """A name server that answers a public address to the check and a private one to the connection (DNS rebinding)."""
    tried = []

    def refuse(self, address):
        tried.append(address[0])
        raise ConnectionRefusedError

    monkeypatch.setattr(socket.socket, "connect", refuse)
    found = PhotoFetcher(Manners(retries=0, timeout=1)).fetch(["http://rebound.example/a.jpg"])
    assert found.failures[0][1] == "no connection" and tried == ["8.8.8.8"] and "8.8.8.8" in names.asked


@pytest.mark.parametrize(
    "address", ["100.64.0.1", "192.0.2.1", "224.0.0.1", "fe80::1%eth0", "64:ff9b::7f00:1", "2002:7f00:1::"]
)
def test_addresses_that_are_not_of_the_public_internet(address):
    assert not addresses.is_public(address)


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1111", "64:ff9b::808:808"])
def test_addresses_of_the_public_internet(address):
    assert addresses.is_public(address)

"""Fetches photos from the web, in many threads, without trusting the servers.

Built on urllib3 rather than img2dataset, which has no rate limit per host (its issue #62), loses photos in a network outage
(#333, #452), downloads a killed shard anew (#358), and pins pandas below 3 and webdataset below 0.3.
"""

import random
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO

from PIL import Image

from e2.data.fetch.addresses import PrivateAddress, PublicPool
from e2.data.images import BadImage, check_image, known_formats
from e2.extras import extra
from e2.version import __version__

with extra("sources", "fetching photos"):
    import urllib3
    from urllib3.util import parse_url

AGENT = f"e2-fashion/{__version__} (collects photos to train on; honours X-Robots-Tag)"
REFUSALS = ("noai", "noimageai")  # in X-Robots-Tag: the owner forbids training on it
PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})  # statuses after which a later attempt may succeed
REDIRECTS = 5
MIN_SIDE = 64  # pixels; shops answer for lost photos with a dot or an icon
MAX_BYTES = 20 << 20
CHUNK = 1 << 16
TIMEOUT = "timeout"
REASONS = (  # urllib3's errors, specific ones first; True for temporary ones
    (urllib3.exceptions.ResponseError, "redirects without end", False),
    (urllib3.exceptions.LocationValueError, "bad url", False),
    (urllib3.exceptions.SSLError, "bad certificate", False),
    (urllib3.exceptions.NewConnectionError, "no connection", True),  # a kind of timeout to urllib3
    (urllib3.exceptions.TimeoutError, TIMEOUT, True),
)
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 60.0  # seconds between attempts: doubled each time; longest pause that a server may ask for


@dataclass(frozen=True)
class Manners:
    """Limits on requests to servers."""

    rate: float = 20.0  # requests a second to one host, at most
    connections: int = 16  # concurrent requests
    timeout: float = 30.0  # seconds for one attempt, up to the photo's last byte
    retries: int = 3  # further attempts after a temporary failure other than a timeout


class PhotoError(Exception):
    """A failed fetch. ``reason`` is short; ``passing``: a later attempt may succeed, after ``pause`` seconds."""

    def __init__(self, reason: str, *, passing: bool = False, pause: float = 0.0):
        super().__init__(reason)
        self.reason, self.passing, self.pause = reason, passing, pause


@dataclass(frozen=True)
class Fetched:
    """Result of trying a photo's URLs in order."""

    contents: bytes | None  # None: all failed
    failures: tuple[tuple[str, str], ...]  # (URL, reason) of each that failed
    outage: bool = False  # all failures were temporary, as when the network is down


class RateLimit:
    """Spreads requests to each host evenly over time; thread-safe."""

    def __init__(self, rate: float):
        self.interval = 1 / rate
        self._next: dict[str, float] = {}
        self._lock = threading.Lock()

    def wait(self, host: str) -> None:
        """Returns when it is this caller's turn."""
        with self._lock:
            now = time.monotonic()
            turn = max(now, self._next.get(host, now))
            self._next[host] = turn + self.interval
        time.sleep(turn - now)

    def hold(self, host: str, seconds: float) -> None:
        """Pauses requests to a host that has asked for it."""
        with self._lock:
            self._next[host] = max(self._next.get(host, 0.0), time.monotonic() + seconds)


class PhotoFetcher:
    """Fetches photos; shared by all threads of a build."""

    def __init__(self, manners: Manners):
        self.manners = manners
        self.rate = RateLimit(manners.rate)
        self._private: set[str] = set()  # hosts that are not asked
        self._pool = PublicPool(
            maxsize=manners.connections,
            block=True,
            headers={"User-Agent": AGENT, "Accept": "image/*"},
            timeout=urllib3.Timeout(total=manners.timeout),
            retries=urllib3.Retry(total=None, connect=0, read=0, other=0, status=0, redirect=REDIRECTS),
        )

    def fetch(self, urls: Sequence[str]) -> Fetched:
        """Fetches the first of a photo's URLs that gives a photo."""
        failures: list[tuple[str, str]] = []
        outage = True
        for url in urls:
            try:
                return Fetched(self._patiently(f"https:{url}" if url.startswith("//") else url), tuple(failures))
            except PhotoError as error:
                failures.append((url, error.reason))
                outage &= error.passing
        return Fetched(None, tuple(failures), outage)

    def _patiently(self, url: str) -> bytes:
        for attempt in range(self.manners.retries):
            try:
                return self._once(url)
            except PhotoError as error:
                if not error.passing or error.reason == TIMEOUT:  # one wait is enough: it gets a second turn
                    raise
                time.sleep(max(error.pause, FIRST_PAUSE * 2**attempt * random.uniform(0.5, 1.5)))
        return self._once(url)

    def _once(self, url: str) -> bytes:
        host = host_of(url)
        if host in self._private:
            raise PhotoError("private address")
        self.rate.wait(host)
        deadline = time.monotonic() + self.manners.timeout
        try:
            response = self._pool.request("GET", url, preload_content=False)
            try:
                self._refuse(response, host)
                contents = _body(response, deadline)
            finally:
                _let_go(response)
        except PrivateAddress as error:
            if str(error) == host.strip("[]"):  # rather than one that it redirects to
                self._private.add(host)
            raise PhotoError("private address") from error
        except urllib3.exceptions.HTTPError as error:
            raise _named(error) from error
        _require_photo(contents)
        return contents

    def _refuse(self, response: urllib3.BaseHTTPResponse, host: str) -> None:
        """Raises unless the headers promise a photo that we may take."""
        if response.status != 200:
            asked = response.headers.get("Retry-After", "").strip()  # seconds; a date counts as none
            pause = min(float(asked) if asked.isdecimal() else 0.0, LONGEST_PAUSE)
            self.rate.hold(host, pause)
            raise PhotoError(f"http {response.status}", passing=response.status in PASSING, pause=pause)
        robots = response.headers.get("X-Robots-Tag", "").lower()
        if any(word.strip() in REFUSALS for word in robots.replace(":", ",").split(",")):
            raise PhotoError("refused by X-Robots-Tag")
        if (response.length_remaining or 0) > MAX_BYTES:
            raise PhotoError("too large")


def _let_go(response: urllib3.BaseHTTPResponse) -> None:
    """Returns the connection to the pool, or closes it if bytes are left on it."""
    if response.length_remaining == 0:
        response.drain_conn()  # reads nothing; but after ``read1`` alone http.client takes the response for unfinished
    else:
        response.close()
    response.release_conn()


def host_of(url: str) -> str:
    """Host of a web address.

    Raises:
        PhotoError: it is none, or a file's.
    """
    try:
        found = parse_url(url)
    except urllib3.exceptions.LocationParseError:
        raise PhotoError("bad url") from None
    if found.scheme not in ("http", "https") or not found.host:
        raise PhotoError("no web address")
    return found.host


def _body(response: urllib3.BaseHTTPResponse, deadline: float) -> bytes:
    """Reads all bytes, which a server may send endlessly or very slowly; ``read1`` returns what has arrived."""
    contents = bytearray()
    while part := response.read1(CHUNK):
        contents += part
        if len(contents) > MAX_BYTES:
            raise PhotoError("too large")
        if time.monotonic() > deadline:
            raise PhotoError(TIMEOUT, passing=True)
    return bytes(contents)


def _named(error: urllib3.exceptions.HTTPError) -> PhotoError:
    """Maps urllib3's errors to our few reasons."""
    cause = error.reason if isinstance(error, urllib3.exceptions.MaxRetryError) and error.reason else error
    for kind, reason, passing in REASONS:
        if isinstance(cause, kind):
            return PhotoError(reason, passing=passing)
    return PhotoError("connection broke off", passing=True)


def _require_photo(contents: bytes) -> None:
    """Decodes the bytes: neither name nor declared type says what they are."""
    try:
        check_image(contents)
    except BadImage as error:
        raise PhotoError("damaged photo" if "cannot be decoded" in error.cause else "not a photo") from error
    with Image.open(BytesIO(contents), formats=known_formats()) as image:
        if min(image.size) < MIN_SIDE:
            raise PhotoError(f"smaller than {MIN_SIDE} pixels")

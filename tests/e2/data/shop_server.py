"""A web shop on this machine whose photos come, fail, stall and lie, by the first part of their path."""

import contextlib
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from e2.data.fetch import addresses, photos
from tests.e2.data.conftest import encoded, photo
from tests.shared import ROOT

# Run before the command line in a process of its own: our server is on this machine, which e2 does not ask otherwise
REACHING = "from e2.data.fetch import addresses; addresses.is_public = lambda address: True\n"
GOOD = ("fine", "png", "flaky", "busy", "moved")  # these give a photo in the end
SIDE = 80


class Shop:
    """The server's address, and what it was asked."""

    def __init__(self, address: str):
        self.address = address
        self.asked: Counter[str] = Counter()
        self.connections = 0
        self.pause = 0.0  # seconds before each answer
        self.serves = self.recovers = float("inf")  # after so many requests it is out of order, and in order again

    def url(self, kind: str, number: object = 0) -> str:
        return f"{self.address}/{kind}/{number}.jpg"


@contextlib.contextmanager
def reached(monkeypatch) -> Iterator[None]:
    """Lets photos be fetched from this machine, without long pauses."""
    with monkeypatch.context() as patched:
        patched.setattr(addresses, "is_public", lambda address: True)
        patched.setattr(photos, "FIRST_PAUSE", 0.01)
        yield


@contextlib.contextmanager
def shop_server() -> Iterator[Shop]:
    """Serves until the block ends."""
    server = _Server(("127.0.0.1", 0), type("Handler", (_Handler,), {}))
    shop = server.RequestHandlerClass.shop = Shop(f"http://127.0.0.1:{server.server_port}")
    threading.Thread(target=server.serve_forever, args=[0.05], daemon=True).start()
    try:
        yield shop
    finally:
        server.shutdown()
        server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64  # connections that wait to be accepted; more are reset

    def handle_error(self, *_) -> None:
        """A client that hangs up is expected here."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    shop: Shop

    def setup(self) -> None:
        super().setup()
        self.shop.connections += 1

    def log_message(self, *_) -> None:
        pass

    def do_GET(self) -> None:
        self.shop.asked[self.path] += 1
        time.sleep(self.shop.pause)
        out_of_order = self.shop.serves < self.shop.asked.total() <= self.shop.recovers
        kind = "down" if out_of_order else self.path.split("/")[1]
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            getattr(self, f"_{kind}")(self.shop.asked[self.path])

    def _answer(self, body: bytes, status: int = 200, **headers: str) -> None:
        self.send_response(status)
        for name, value in ({"Content_Type": "image/jpeg", "Content_Length": str(len(body))} | headers).items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def _jpeg(self) -> bytes:
        number = int("".join(letter for letter in self.path if letter.isdigit()) or 0)
        return encoded(photo(number, (SIDE, SIDE)))

    def _fine(self, _) -> None:
        self._answer(self._jpeg())

    def _png(self, _) -> None:  # under the name and the type of a JPEG
        self._answer(encoded(photo(1, (SIDE, SIDE)), "PNG"))

    def _flaky(self, time_asked: int) -> None:
        self._answer(b"", 500) if time_asked == 1 else self._fine(time_asked)

    def _busy(self, time_asked: int) -> None:
        self._answer(b"", 429, Retry_After="1") if time_asked == 1 else self._fine(time_asked)

    def _moved(self, _) -> None:
        self._answer(b"", 301, Location=self.path.replace("moved", "fine"))

    def _to(self, _) -> None:  # wherever the path says, commas for its slashes
        self._answer(b"", 302, Location=self.path.split("/")[2].replace(",", "/"))

    def _gone(self, _) -> None:
        self._answer(b"no such photo", 404)

    def _down(self, _) -> None:
        self._answer(b"", 503)

    def _loop(self, time_asked: int) -> None:
        self._answer(b"", 302, Location=self.path)

    def _stall(self, _) -> None:
        time.sleep(4)

    def _drip(self, _) -> None:
        self._answer(b"", Content_Length="1000000")
        for _ in range(100):
            self.wfile.write(b"x")
            time.sleep(0.05)

    def _html(self, _) -> None:
        self._answer(b"<html><body>Enter the characters you see below</body></html>")

    def _empty(self, _) -> None:
        self._answer(b"")

    def _cut(self, _) -> None:
        self._answer(self._jpeg()[:-500])

    def _short(self, _) -> None:
        self._answer(self._jpeg()[:-500], Content_Length=str(len(self._jpeg())))
        self.close_connection = True

    def _huge(self, _) -> None:
        self._answer(b"", Content_Length=str(1 << 40))

    def _endless(self, _) -> None:
        self.send_response(200)
        self.send_header("Connection", "close")
        self.end_headers()
        while True:
            self.wfile.write(bytes(1 << 20))

    def _dot(self, _) -> None:
        self._answer(encoded(photo(0, (1, 1)), "GIF"), Content_Type="image/gif")

    def _noai(self, _) -> None:
        self._answer(self._jpeg(), X_Robots_Tag="noai, noimageai")


def run_until(requests: float, shop: Shop, *arguments: object) -> int:
    """Runs `e2 data ...` in a process of its own, and kills it after so many requests; returns its status."""
    line = ["data", *arguments, "--rate", 10_000, "--connections", 4]
    command = [sys.executable, "-c", REACHING + "import cli; cli.main()", *map(str, line)]
    process = subprocess.Popen(command, cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"}, stdout=subprocess.DEVNULL)
    asked_before = shop.asked.total()
    while process.poll() is None and shop.asked.total() - asked_before < requests:
        time.sleep(0.01)
    process.kill()
    return process.wait()

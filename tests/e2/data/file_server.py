"""A server of files on this machine, some of which come late, in pieces or changed."""

import contextlib
import threading
from collections import Counter
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

LATER = 2  # requests after which a busy file is served


class Handler(SimpleHTTPRequestHandler):
    """Serves a folder; ``/busy/NAME`` not at once, ``/cut/NAME`` breaks off.

    ``/halves/NAME`` breaks off in the middle of what is left, ``/changing/NAME`` too and is then another file. ``/late/NAME``
    waits until a photo was decoded.
    """

    address: str
    asked: Counter[str]
    decoded: threading.Event
    late: list[bool]

    def do_GET(self):
        self.asked[self.path] += 1
        kind, _, name = self.path.strip("/").rpartition("/")
        if kind == "busy" and self.asked[self.path] <= LATER:
            return self.send_error(503)
        if kind == "cut":
            self.send_response(200)
            self.send_header("Content-Length", "1000")
            self.end_headers()
            self.wfile.write(b"PAR1")
            return None
        if kind in ("halves", "changing"):
            return self.send_half(Path(self.directory, name).read_bytes(), kind == "changing")
        if kind == "late":
            self.late.append(self.decoded.wait(5))
        self.path = f"/{name}"
        return super().do_GET()

    def send_half(self, contents, changing):
        tag = f'"{self.asked[self.path] if changing else 0}"'
        ranged = self.headers.get("If-Range") == tag
        start = int(self.headers["Range"].removeprefix("bytes=").removesuffix("-")) if ranged else 0
        rest = contents[start:]
        self.send_response(206 if ranged else 200)
        self.send_header("Content-Length", str(len(rest)))
        self.send_header("ETag", tag)
        self.end_headers()
        self.wfile.write(rest if self.asked[self.path] > LATER else rest[: len(rest) // 2])

    def log_message(self, *_):
        pass


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[type[Handler]]:
    """Serves a folder until the block ends; gives the handler, with its address and what it was asked."""
    own = type("Own", (Handler,), {"asked": Counter(), "decoded": threading.Event(), "late": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), lambda *args: own(*args, directory=folder))
    threading.Thread(target=server.serve_forever, args=[0.05], daemon=True).start()
    own.address = f"http://127.0.0.1:{server.server_port}"
    try:
        yield own
    finally:
        server.shutdown()
        server.server_close()

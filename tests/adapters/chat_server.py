"""An OpenAI-compatible server on this machine that fails, stalls and talks nonsense as told."""

import contextlib
import json
import os
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from unittest import mock


class ChatServer:
    """Answers each request by the next of its ``script``; when that is used up, by ``good(handler, body)``."""

    def __init__(self, good):
        self.script, self.bodies, self.times, self.headers = [], [], [], []
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):  # noqa: N802
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                server.bodies.append(body), server.times.append(time.monotonic()), server.headers.append(self.headers)
                act = server.script.pop(0) if server.script else None
                act(self) if act else good(self, body)

            def log_message(self, *_):
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}/v1"
        threading.Thread(target=self.http.serve_forever, daemon=True).start()


@contextlib.contextmanager
def serving(good):
    """A running server that no proxy hides."""
    with mock.patch.dict(os.environ, no_proxy="*"):
        server = ChatServer(good)
        yield server
        server.http.shutdown()


def reply(handler, status, content: bytes, **headers):
    handler.send_response(status)
    for name, value in headers.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()
    handler.wfile.write(content)


def status(code, **headers):
    return lambda handler: reply(handler, code, b"{}", **headers)


def stall(handler):
    time.sleep(1.0)


def content(raw: bytes):
    return lambda handler: reply(handler, 200, raw)


def saying(text=None, finish=None, **message):
    """An answer of the protocol."""
    choice = {"message": {"content": text, **message}, "finish_reason": finish}
    return content(json.dumps({"choices": [choice]}).encode())

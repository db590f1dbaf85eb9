"""The server against clients that say nothing, drip, or break off, and when it is to stop."""

import logging
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from types import SimpleNamespace

import pytest
import uvicorn

from e2.adapters.search.app import api, server
from e2.adapters.search.app.api import create_app
from e2.adapters.search.app.photos import PhotoShelf
from e2.adapters.search.app.server import _listener, server_of
from e2.errors import InputError
from tests.shared import ROOT

HEAD = b"GET /assets/app.js HTTP/1.1\r\nHost: localhost\r\n"
UPLOAD = b"POST /api/photos HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/jpeg\r\nContent-Length: 100000\r\n\r\n"


@pytest.fixture
def port(monkeypatch):
    monkeypatch.setattr(server, "HEAD_SECONDS", 1)
    listener = _listener("127.0.0.1", 0)
    running: uvicorn.Server = server_of(create_app(SimpleNamespace(shelf=PhotoShelf())))
    thread = threading.Thread(target=running.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    yield listener.getsockname()[1]
    running.should_exit = True
    thread.join(20)


def connected(port: int, data: bytes = b"") -> socket.socket:
    client = socket.create_connection(("127.0.0.1", port), timeout=20)
    client.sendall(data)
    return client


def rest_of(client: socket.socket) -> bytes:
    """What comes until the server closes the connection."""
    found = b""
    try:
        while part := client.recv(65536):
            found += part
    except ConnectionResetError:
        pass
    return found


def closes_while_dripping(client: socket.socket, seconds: float) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            client.sendall(b"b")
        except OSError:
            return True
        time.sleep(0.1)
    return False


def test_a_head_has_to_come_in_time(port):
    silent = [connected(port) for _ in range(server.MOST_AT_ONCE + 8)]
    time.sleep(0.5)
    assert b" 503 " in rest_of(connected(port, HEAD + b"Connection: close\r\n\r\n"))
    assert rest_of(silent[0]) == b""
    time.sleep(1)
    assert b" 200 " in rest_of(connected(port, HEAD + b"Connection: close\r\n\r\n"))
    for start in (HEAD + b"X-a: ", HEAD + b"\r\n" + HEAD + b"X-a: ", b"GET"):
        assert closes_while_dripping(connected(port, start), 10), start
    patient = connected(port, HEAD + b"\r\n")  # between two requests there is more time
    patient.recv(65536)
    time.sleep(2)
    patient.sendall(HEAD + b"Connection: close\r\n\r\n")
    assert b" 200 " in rest_of(patient)


def test_a_body_that_nobody_reads_does_not_hold_a_connection(port):
    for start in (
        UPLOAD.replace(b"jpeg", b"gif"),
        UPLOAD.replace(b"POST", b"GET"),
        UPLOAD.replace(b"100000", b"1" + b"0" * 12),
    ):
        client = connected(port, start)
        assert b"connection: close" in rest_of(client).lower()


def test_an_upload_that_is_broken_off_is_no_fault(port, caplog):
    with caplog.at_level(logging.ERROR):
        connected(port, UPLOAD + b"half").close()
        time.sleep(0.5)
        assert b" 200 " in rest_of(connected(port, HEAD + b"Connection: close\r\n\r\n"))
    assert not caplog.records


def test_photos_that_take_long_leave_the_rest_alone(port, monkeypatch):
    begun, done = threading.Event(), threading.Event()

    def slow(body: bytes):
        begun.set()
        done.wait(30)
        raise InputError("too late")

    monkeypatch.setattr(api, "read_upload", slow)
    sent = [connected(port, UPLOAD.replace(b"100000", b"4") + b"half") for _ in range(45)]
    begun.wait(20)
    time.sleep(0.5)  # until as many as there are threads have begun, if they may
    try:
        assert b" 200 " in rest_of(connected(port, HEAD + b"Connection: close\r\n\r\n"))
    finally:
        done.set()
    assert all(b" 400 " in rest_of(client) for client in sent)


def test_it_stops_soon_whatever_hangs():
    script = """
        import contextlib
        import time
        from types import SimpleNamespace
        from e2.adapters.search.app.api import create_app
        from e2.adapters.search.app.photos import PhotoShelf
        from e2.adapters.search.app.server import _listener, server_of

        listener = _listener("127.0.0.1", 0)
        print(listener.getsockname()[1], flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            server_of(create_app(SimpleNamespace(shelf=PhotoShelf()))).run(sockets=[listener])
        print(time.monotonic())  # of the machine, not of the process, whose end takes its time
        """
    command = [sys.executable, "-c", textwrap.dedent(script)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    port = int(process.stdout.readline())
    assert b" 200 " in rest_of(connected(port, HEAD + b"Connection: close\r\n\r\n"))
    held = [connected(port, UPLOAD + b"half") for _ in range(20)] + [connected(port, HEAD), connected(port)]
    time.sleep(0.5)
    start = time.monotonic()
    process.send_signal(signal.SIGINT)
    stopped, said = process.communicate(timeout=60)
    assert float(stopped) - start < 5 and said.count("\n") <= 1, said
    for client in held:
        client.close()

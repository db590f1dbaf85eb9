"""Runs the app, on this machine only unless told otherwise."""

import asyncio
import contextlib
import ipaddress
import logging
import socket

import h11
import uvicorn
from fastapi import FastAPI
from rich.console import Console
from uvicorn.protocols.http.h11_impl import H11Protocol

from e2.adapters.search.app.api import LOCAL, create_app
from e2.adapters.search.app.service import SearchService
from e2.counting import counted
from e2.errors import InputError

MOST_AT_ONCE = 512  # connections; further ones are asked to come back later, before memory runs out
KEEP_ALIVE = 75  # seconds; uvicorn's 5 would close connections just when people return to them
HEAD_SECONDS = 10  # for the head of a request: silent connections would use up the limit
LEAVE_SECONDS = 2  # after Ctrl-C, for requests being answered
ANY = ("*",)  # host names
OPENED = (
    "everyone who reaches {host} can search here and send photos; the app asks for no password. It answers to any host name, "
    "so that pages of other sites can read it through the browser of whoever can reach it. In a network that you trust, or "
    "behind a proxy that asks for a password and checks the host name, this is fine; else leave --host out."
)


def serve(service: SearchService, host: str, port: int) -> None:
    """Serves until it is interrupted.

    Args:
        host: address to listen on; other than loopback addresses open the app to others, with a warning.
        port: 0 = any that is free.
    """
    listener = _listener(host, port)
    hosts = hosts_of(host)
    address = f"http://{_in_address(host)}:{listener.getsockname()[1]}"
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    if hosts == ANY:
        console.print(f"warning: {OPENED.format(host=host)}", style="yellow", markup=False)
    console.print(f"{counted(len(service.index), 'product')}; open {address} (API: {address}/docs), stop by Ctrl-C")
    with contextlib.suppress(KeyboardInterrupt):  # uvicorn raises it again when it has stopped
        server_of(create_app(service, hosts=hosts)).run(sockets=[listener])


def server_of(app: FastAPI) -> uvicorn.Server:
    """Builds the server, with limits on everything by which a stranger could block it."""
    config = uvicorn.Config(
        app,
        http=PatientOnce,
        log_level="warning",
        limit_concurrency=MOST_AT_ONCE,
        timeout_keep_alive=KEEP_ALIVE,
        timeout_graceful_shutdown=LEAVE_SECONDS,
        server_header=False,
        ws="none",
    )
    logging.getLogger("uvicorn.error").addFilter(_is_no_farewell)
    return uvicorn.Server(config)


class PatientOnce(H11Protocol):
    """uvicorn's HTTP with a time limit on a request's head, for which it has no setting."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn has it
        super().connection_made(transport)
        self._waiting: asyncio.TimerHandle | None = self.loop.call_later(HEAD_SECONDS, transport.close)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.conn.their_state is not h11.IDLE:  # the head has arrived
            self._wait_no_more()
        elif self._waiting is None:
            self._waiting = self.loop.call_later(HEAD_SECONDS, self.transport.close)

    def connection_lost(self, exc: Exception | None) -> None:
        self._wait_no_more()
        super().connection_lost(exc)

    def _wait_no_more(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None


def _is_no_farewell(record: logging.LogRecord) -> bool:
    """False for requests aborted by Ctrl-C, for each of which uvicorn logs a traceback."""
    return not (record.exc_info and isinstance(record.exc_info[1], asyncio.CancelledError))


def hosts_of(host: str) -> tuple[str, ...]:
    """Names by which browsers may call a server that listens on ``host``: any, unless only this machine reaches it."""
    return (*LOCAL, _in_address(host)) if is_loopback(host) else ANY


def _in_address(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def is_loopback(host: str) -> bool:
    """True if only this machine can reach it."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _listener(host: str, port: int) -> socket.socket:
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET, backlog=2048)
    except OSError as error:
        raise InputError(f"cannot listen on {host} port {port}: {error.strerror}; choose another --port or --host") from error

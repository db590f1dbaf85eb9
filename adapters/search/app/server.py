"""Runs the app: on this machine alone unless told otherwise."""

import ipaddress
import socket

import uvicorn
from rich.console import Console

from adapters.search.app.api import create_app
from adapters.search.app.service import SearchService
from e2.errors import InputError

MOST_AT_ONCE = 512  # connections; more are told to come back later, before memory runs out
KEEP_ALIVE = 75  # seconds; uvicorn's 5 closes connections just when people come back to them


def serve(service: SearchService, host: str, port: int) -> None:
    """Serves until it is interrupted.

    Args:
        service: what answers.
        host: address to listen on; anything but a loopback address opens the app to others, and is warned of.
        port: 0 = any that is free.

    Raises:
        InputError: the port is taken, or there is no such address.
    """
    listener = _listener(host, port)
    local = is_loopback(host)
    address = f"http://{f'[{host}]' if ':' in host else host}:{listener.getsockname()[1]}"
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    if not local:
        console.print(
            f"warning: everyone who reaches {host} can use this app; it asks for no password. Behind a proxy that does, or "
            "in a network that you trust, this is fine; else leave --host out.",
            style="yellow",
        )
    console.print(f"{len(service.index):,} products; open {address} (API: {address}/docs), stop by Ctrl-C")
    app = create_app(service) if local else create_app(service, hosts=["*"])
    config = uvicorn.Config(
        app,
        log_level="warning",
        limit_concurrency=MOST_AT_ONCE,
        timeout_keep_alive=KEEP_ALIVE,
        server_header=False,
        ws="none",
    )
    uvicorn.Server(config).run(sockets=[listener])


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach it."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _listener(host: str, port: int) -> socket.socket:
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET, backlog=2048)
    except OSError as error:
        raise InputError(f"cannot listen on {host} port {port}: {error.strerror}; choose another --port or --host") from error

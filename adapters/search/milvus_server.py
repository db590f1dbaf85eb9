"""Connects to a Milvus server, or the file of a Milvus Lite; errors become one line.

An address is ``http://HOST:PORT/COLLECTION``, or ``FILE.db`` or ``FILE.db/COLLECTION``. User and password, or a key, come from
``$MILVUS_TOKEN`` (``USER:PASSWORD`` or the key) or are in the URI; they are never printed.
"""

import contextlib
import logging
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import grpc
from pymilvus import MilvusClient, MilvusException

from e2.adapters.search.address import shown
from e2.adapters.search.store import IndexTrouble
from e2.errors import InputError, first_line, printable

COLLECTION = "products"
USER = re.compile(r"//(.*)@")
CONNECT, READ, WRITE = 10, 10, 180  # seconds that a call may take, including a server outage
PAUSE = 0.5  # seconds between tries
NOT_FOUND = 100  # Milvus's own code
# Milvus's own codes of temporary errors: not ready, unavailable, too busy, or a collection, replica, channel, segment or node
# still loading after a restart. Others, above all an invalid query, would fail again.
PASSING = {1, 2, 3, 4, 8, 101, 103, 106, 401, 500, 501, 503, 600, 601, 602, 901, 902, 903, 905}
TRIED = "attempt #"  # begins the message, with its own code, when parts of a server waited for each other in vain
OUTAGE = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)


class Server:
    """A connection, and the collection that an address names."""

    def __init__(self, address: str):
        user, given = USER.search(address), os.environ.get("MILVUS_TOKEN", "")
        self.token = given or (unquote(user[1]) if user else "")
        self._signs_in_by = "the address" if self.token and not given else "$MILVUS_TOKEN"
        self.address = shown(address)
        self.uri, self.collection = parts(self.address)
        for name in ("pymilvus", "grpc._server", "milvus_lite"):  # they print a traceback for each error that they also raise
            logger = logging.getLogger(name)
            logger.handlers, logger.propagate = [logging.NullHandler()], False
        with self._told():
            self._client = MilvusClient(self.uri, token=self.token, timeout=CONNECT)

    def call(self, name: str, *arguments, patience: float = READ, **options) -> Any:
        """Calls a method of pymilvus's client, with retries for ``patience`` seconds while the server fails."""
        end = time.monotonic() + patience
        with self._told():
            while True:
                try:
                    left = max(1.0, end - time.monotonic())
                    return getattr(self._client, name)(*arguments, timeout=left, **options)
                except MilvusException as error:
                    if not _passes(error) or time.monotonic() > end:
                        raise
                    time.sleep(PAUSE)

    def describe(self, name: str) -> dict[str, Any] | None:
        """Describes a collection, by its name or an alias; None: there is none."""
        if not self.call("has_collection", name):
            return None
        found = self.call("describe_collection", name)
        real = found["collection_name"]  # by an alias, servers may return outdated properties
        return found if real == name else self.call("describe_collection", real)

    @property
    def is_lite(self) -> bool:
        """True for the file of a Milvus Lite."""
        return self.uri.endswith(".db")

    def close(self) -> None:
        self._client.close()

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        """Turns pymilvus's errors into one line."""
        try:
            yield
        except (MilvusException, grpc.RpcError, OSError, ValueError) as error:
            if isinstance(error, InputError):
                raise
            raise IndexTrouble(self._message(error)) from None  # the cause may contain the token

    def _message(self, error: Exception) -> str:
        status = _status(error)
        if self.is_lite and "Open local milvus failed" in str(error):
            held = _is_held(Path(self.uri))
            return f"{self.uri} " + (
                "is open in another process; close that one" if held else "cannot be opened as Milvus Lite"
            )
        if status is grpc.StatusCode.UNAUTHENTICATED:
            given = "does not take the user or token of" if self.token else "asks for a user or token in"
            return f"the Milvus server at {self.uri} {given} {self._signs_in_by} (USER:PASSWORD, or a key)"
        told = error.details() if isinstance(error, grpc.RpcError) else getattr(error, "message", "")
        text = self._without_secrets(first_line(Exception(told or str(error))))
        if status is grpc.StatusCode.PERMISSION_DENIED:
            return f"the Milvus server at {self.uri} knows the user but does not allow this: {text[:300]}; ask for the right"
        if status in OUTAGE or getattr(error, "code", None) == 2:
            return f"no Milvus server answers at {self.uri}; start it, or fix the address; a build continues with --resume"
        if getattr(error, "code", None) == NOT_FOUND:
            return f"{self.address} was replaced or removed meanwhile by another process; begin again"
        if isinstance(error, MilvusException) and _passes(error) and error.code != 1:  # 1 is any error of Milvus Lite
            return f"the Milvus server at {self.uri} is not ready: {text[:300]}; try again; a build continues with --resume"
        return f"the Milvus server at {self.uri} refused: {text[:300]}"

    def _without_secrets(self, text: str) -> str:
        for secret in (self.token, self.token.partition(":")[2]):
            text = text.replace(secret, "***") if secret else text
        return printable(text)


def parts(address: str) -> tuple[str, str]:
    """Splits an address into (connection, collection)."""
    start, slash, name = address.rpartition("/")
    if address.endswith(".db") or not slash or start.endswith("/"):  # a file; or http://HOST:PORT alone
        return address, COLLECTION
    return start, name or COLLECTION


def _status(error: BaseException) -> grpc.StatusCode | None:
    """Status of gRPC behind an error, which pymilvus wraps or raises from itself."""
    for each in (error, error.__cause__):
        code = getattr(each, "code", None)
        code = code() if callable(code) else code
        if isinstance(code, grpc.StatusCode):
            return code
    return None


def _passes(error: MilvusException) -> bool:
    """True if a failed call may succeed later; subclasses are the client's own checks."""
    if type(error) is not MilvusException:
        return _status(error) in OUTAGE
    return _status(error) in OUTAGE or error.code in PASSING or error.message.startswith(TRIED)


def _is_held(path: Path) -> bool:
    """True if another process has a Milvus Lite open."""
    import fcntl

    try:
        with (path / "LOCK").open() as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False

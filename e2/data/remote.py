"""Remote tables and shards: each file is fetched whole into the cache, once, and is from then on a file like any other.

A transfer that breaks off goes on where it broke, if the server can tell that the file is still the same. A copy is not
compared with its original again: remove ``remote`` from the cache folder to have them anew. Web addresses are those of the
public internet alone (``e2.data.fetch.addresses``); fsspec reads object stores, with the user's own settings.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from huggingface_hub import constants

from e2.data import cache
from e2.errors import InputError, in_short, printable
from e2.extras import extra
from e2.files import atomic_path

STORES = ("s3", "gs", "az", "abfs")
PART = 1 << 20  # bytes
RETRIES, TIMEOUT = 3, 60.0  # after failures that may pass; seconds without a byte


def is_remote(name: str) -> bool:
    """True for an address, or a SPEC with one."""
    return "://" in name


def name_of(address: str) -> str:
    """Name of the file at an address."""
    name = PurePosixPath(urlsplit(address).path).name
    if not name or name.startswith("."):
        raise InputError(f"{shown(address)}: names no file; write the address of a table or a shard")
    return name


def fetched(address: str) -> Path:
    """Returns the local copy of a remote file, which has its name; fetches it, or waits for the process that does.

    Raises:
        InputError: it cannot be fetched or stored.
    """
    copy = copy_of(address)
    try:
        copy.parent.mkdir(parents=True, exist_ok=True)
        with cache.one_at_a_time(copy, f"fetches {shown(address)}"):
            if not copy.exists():
                with atomic_path(copy, cache=True) as temporary, temporary.open("wb") as file:
                    file.writelines(incoming(address).parts)
    except OSError as error:
        raise InputError(f"cannot write {copy} ({error}); set E2_CACHE to a folder with room for it") from error
    return copy


def copy_of(address: str) -> Path:
    """Place of the copy of a remote file, there or not."""
    return cache.cache_folder() / "remote" / cache.key(address) / name_of(address)


class Incoming(NamedTuple):
    """A file on its way."""

    name: str  # for messages
    size: int | None  # bytes, if the server tells
    parts: Iterator[bytes]


def incoming(address: str) -> Incoming:
    """Asks for a remote file.

    Raises:
        InputError: it cannot be fetched; or later, by ``parts``, it broke off.
    """
    if constants.HF_HUB_OFFLINE:
        raise InputError(f"{shown(address)}: not fetched, as HF_HUB_OFFLINE is set; unset it, or copy the file")
    scheme = urlsplit(address).scheme
    if scheme in ("http", "https"):
        return _from_web(address)
    if scheme in STORES and "::" not in address:  # fsspec would follow it to other places
        return _from_store(address)
    known = ", ".join(("http", "https", *STORES))
    raise InputError(f"{shown(address)}: unknown kind of address; there are {known}; mount others")


def _from_web(address: str) -> Incoming:
    from e2.data.fetch.addresses import PublicPool
    from e2.data.fetch.photos import PASSING

    urllib3 = _urllib3()
    retries = urllib3.Retry(RETRIES, status_forcelist=PASSING, backoff_factor=0.2, respect_retry_after_header=False)
    with _web_errors(address):
        pool = PublicPool(timeout=urllib3.Timeout(connect=TIMEOUT, read=TIMEOUT), retries=retries)
        response = pool.request("GET", address, preload_content=False)
        if response.status != 200:
            raise InputError(f"{shown(address)}: cannot be fetched (http {response.status})")
        size = "" if "Content-Encoding" in response.headers else response.headers.get("Content-Length", "")
        return Incoming(shown(address), int(size) if size.isdecimal() else None, _parts(address, pool, response))


def _parts(address: str, pool: Any, response: Any) -> Iterator[bytes]:
    """Parts of an answer; where it breaks off, the rest is asked for."""
    urllib3 = _urllib3()
    with _web_errors(address):
        same, done = response.headers.get("ETag", "W/"), 0
        for left in reversed(range(1 + RETRIES)):
            try:
                for part in response.stream(PART):
                    done += len(part)
                    yield part
                return
            except urllib3.exceptions.HTTPError:
                if not left or same.startswith("W/") or "Content-Encoding" in response.headers:
                    raise
            rest = {"Range": f"bytes={done}-", "If-Range": same}
            response = pool.request("GET", address, headers=rest, preload_content=False)
            if response.status != 206:
                raise InputError(f"{shown(address)}: broke off at byte {done:,} and cannot be continued; try again")


@contextlib.contextmanager
def _web_errors(address: str) -> Iterator[None]:
    from e2.data.fetch.addresses import PrivateAddress

    urllib3 = _urllib3()
    try:
        yield
    except PrivateAddress as error:
        raise InputError(f"{shown(address)}: at a private address, which e2 does not ask; copy or mount it") from error
    except urllib3.exceptions.HTTPError as error:
        raise InputError(f"{shown(address)}: cannot be fetched ({in_short(error)})") from error


def _urllib3() -> Any:
    with extra("sources", "remote files"):
        import urllib3
    return urllib3


def _from_store(address: str) -> Incoming:
    with extra("sources", "remote files"):
        import fsspec

    with _store_errors(address):
        file = fsspec.open(address, "rb").open()
        return Incoming(shown(address), getattr(file, "size", None), _read(address, file))


def _read(address: str, file: Any) -> Iterator[bytes]:
    with _store_errors(address), file:
        while part := file.read(PART):
            yield part


@contextlib.contextmanager
def _store_errors(address: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # each store has its own
        raise InputError(f"{shown(address)}: cannot be fetched ({in_short(error)})") from error


def shown(address: str) -> str:
    """Address for messages, without what signs it."""
    return printable(address.partition("?")[0])

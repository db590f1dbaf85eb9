"""Holds a folder that one process at a time builds in."""

import contextlib
from collections.abc import Iterable, Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from e2.errors import InputError
from e2.outputs import claim_results

LOCK = ".build.lock"


def database(name: str) -> tuple[str, ...]:
    """Names of the files of an SQLite database."""
    return tuple(f"{name}{ending}" for ending in ("", "-journal", "-wal", "-shm"))


@contextlib.contextmanager
def alone_in(out: Path) -> Iterator[None]:
    """Makes the folder and keeps other processes from building in it."""
    claim_results(out)
    try:
        out.mkdir(parents=True, exist_ok=True)
        lock = FileLock(out / LOCK, timeout=0)
        lock.acquire()
    except Timeout:
        raise InputError(f"another process builds in {out}; wait for it, or choose another --out") from None
    except OSError as error:
        raise InputError(f"cannot write {out}: {error.strerror}; choose another --out") from error
    try:
        yield
    finally:
        lock.release()


def remove(files: Iterable[Path]) -> None:
    """Removes files."""
    for file in files:
        file.unlink()

"""Holds a folder that one process at a time builds in."""

import contextlib
from collections.abc import Iterable, Iterator
from pathlib import Path

from e2.lockfile import LockFile
from e2.outputs import claim_results

LOCK = ".build.lock"


def database(name: str) -> tuple[str, ...]:
    """Names of the files of an SQLite database."""
    return tuple(f"{name}{ending}" for ending in ("", "-journal", "-wal", "-shm"))


@contextlib.contextmanager
def alone_in(out: Path) -> Iterator[None]:
    """Makes the folder and keeps other processes from building in it."""
    claim_results(out)
    lock = LockFile(out / LOCK)
    lock.acquire_for(out, f"another process builds in {out}; wait for it, or choose another --out")
    try:
        yield
    finally:
        lock.release()


def remove(files: Iterable[Path]) -> None:
    """Removes files."""
    for file in files:
        file.unlink()

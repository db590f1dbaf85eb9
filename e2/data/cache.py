"""Cache folder, ``$E2_CACHE`` or else ``~/.cache/e2``. Safe to delete."""

import contextlib
import hashlib
import json
import mmap
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from filelock import Timeout

from e2.errors import InputError
from e2.files import atomic_path
from e2.lockfile import LockFile
from e2.notes import say

TOLD_AFTER = 1.0  # seconds of waiting for another process


def cache_folder() -> Path:
    """Cache folder, which need not exist yet."""
    return Path(os.environ.get("E2_CACHE") or Path.home() / ".cache" / "e2")


def key(*parts: object) -> str:
    """Short name for any JSON-able description: equal descriptions give equal names."""
    return hashlib.sha256(json.dumps(parts, default=str).encode()).hexdigest()[:24]


def file_stamps(files: Iterable[Path]) -> list[tuple[str, int, int]]:
    """Path, size in bytes and modification time of each file; unchanged stamps mean unchanged contents."""
    stamps = []
    for file in files:
        status = file.stat()
        stamps.append((str(file.resolve()), status.st_size, status.st_mtime_ns))
    return stamps


def digest_of_stamps(files: Iterable[Path]) -> str:
    """One hash over the stamps of very many files, which may be missing, without their paths."""
    stamps = np.fromiter((size_and_time(file) for file in files), dtype=np.dtype((np.int64, 2)))
    return hashlib.sha256(stamps.tobytes()).hexdigest()


def size_and_time(file: Path) -> tuple[int, int]:
    """Size in bytes and modification time of a file; -1 if it is missing."""
    try:
        status = file.stat()
    except (OSError, ValueError):  # ValueError: a NUL byte in the name
        return -1, -1
    return status.st_size, status.st_mtime_ns


@contextlib.contextmanager
def one_at_a_time(path: Path, doing: str) -> Iterator[None]:
    """Lets one process make what lies at ``path``; another one says that it waits for a process that is ``doing`` it."""
    lock = LockFile(path.with_name(f"{path.name}.lock"))
    try:
        lock.acquire(timeout=TOLD_AFTER)
    except Timeout:
        say(f"waiting for another process that {doing}")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def mapped_table(path: Path, make: Callable[[], Iterator[pa.Table]]) -> pa.Table:
    """Writes a table once and maps it into memory, which all processes share.

    The name of ``path`` must change whenever ``make``, called by one process at a time, yields other parts (at least one).
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with one_at_a_time(path, "reads the same data"):
            if not path.exists():
                _write_arrow(path, make())
    except OSError as error:
        raise InputError(f"cannot write {path} ({error}); set E2_CACHE to a folder with room for it") from error
    return pa.ipc.open_file(pa.memory_map(str(path))).read_all()


def spooled_table(parts: Iterator[pa.Table]) -> pa.Table:
    """Writes a table (at least one part) to a nameless file and maps that, so that it takes no memory for itself."""
    folder = cache_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            _write_parts(file, parts)
            file.flush()
            return pa.ipc.open_file(pa.py_buffer(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))).read_all()
    except OSError as error:
        raise InputError(f"cannot write to {folder} ({error}); set E2_CACHE to a folder with room for it") from error


def _write_arrow(path: Path, parts: Iterator[pa.Table]) -> None:
    with atomic_path(path, cache=True) as temporary:
        _write_parts(str(temporary), parts)


def _write_parts(sink: Any, parts: Iterator[pa.Table]) -> None:
    first = next(parts)
    with pa.ipc.new_file(sink, first.schema) as writer:
        writer.write_table(first)
        for part in parts:
            writer.write_table(part)

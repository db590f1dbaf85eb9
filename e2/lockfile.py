"""Locks between processes, held through a file that lies there only while somebody holds the lock."""

import contextlib
import os
import weakref
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from e2.errors import InputError


class LockFile:
    """A lock between processes.

    Whoever holds it removes the file before letting go: filelock gives nobody a lock on a removed file, so whoever waited for
    it tries again with a new one. A killed process leaves the file, and the next holder removes it. Folders that were made
    for the file go with it if nothing else is in them. The end of the process, or of the object, releases the lock.
    """

    def __init__(self, path: Path):
        self.path = path.absolute()
        self._lock = FileLock(self.path, thread_local=False)
        self._holding: weakref.finalize | None = None

    def acquire(self, timeout: float = -1) -> None:
        """Takes the lock, and makes the folder of its file if need be.

        Args:
            timeout: seconds to wait; below 0: without end.

        Raises:
            Timeout: another process holds it, or the folder cannot be written.
            OSError: there can be no such folder.
        """
        made = [folder for folder in self.path.parents if not folder.exists()]  # the innermost first
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._lock.acquire(timeout=timeout)
        except BaseException:
            _remove_empty(made)
            raise
        self._holding = weakref.finalize(self, _let_go, self._lock, self.path, self.path.stat(), made, os.getpid())

    def acquire_for(self, out: Path, busy: str) -> None:
        """Takes the lock on an output at once.

        Raises:
            InputError: another process holds it, told in the words of ``busy``, or the folder cannot be written.
        """
        try:
            self.acquire(timeout=0)
        except Timeout:
            if not self.path.exists():
                raise InputError(f"cannot write {out}: no file can be made beside it; choose another --out") from None
            raise InputError(busy) from None
        except OSError as error:
            raise InputError(f"cannot write {out}: {error.strerror}; choose another --out") from error

    def release(self) -> None:
        """Lets go of the lock, if held."""
        if self._holding:
            self._holding()

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Holds the lock, for which it waits without end."""
        self.acquire()
        try:
            yield
        finally:
            self.release()


def _let_go(lock: FileLock, path: Path, status: os.stat_result, made: list[Path], holder: int) -> None:
    if os.getpid() != holder:  # a fork's copy
        return
    with contextlib.suppress(OSError):  # Windows removes no open file; filelock does so there
        if os.path.samestat(path.stat(), status):  # otherwise somebody removed it, and another may hold a new one
            path.unlink()
    lock.release()
    _remove_empty(made)


def _remove_empty(folders: list[Path]) -> None:
    with contextlib.suppress(OSError):
        for folder in folders:
            folder.rmdir()

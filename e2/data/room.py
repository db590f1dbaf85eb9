"""Room for copies of remote shards: where it is bounded, those read longest ago make way for the next.

Loader workers, processes and runs share the copies, and agree through locks on the copies themselves (``flock``), which end
with the process that held them: whoever reads a copy, or writes one, holds it, and nobody removes a file that is held. What
is on its way counts with its whole size, so the bound holds at every moment. A note beside each copy keeps its size and hash:
only files that have one are removed, and one that is fetched again has to be the same.
"""

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from e2.data.remote import Incoming
from e2.errors import InputError
from e2.files import atomic_path, file_sha256
from e2.lockfile import LockFile
from e2.notes import say

with contextlib.suppress(ImportError):  # Windows has none, and nothing that reads shards at known places
    import fcntl

PAUSE, TOLD_AFTER = 0.1, 10.0  # seconds between looks for room, and until the wait for it is told
GB = 10**9
NOTE = ".note.json"  # ends the name of a note


class Note(NamedTuple):
    """Facts about a copy when it was first there."""

    size: int  # bytes
    sha256: str


def noted(copy: Path) -> Note | None:
    """Note on a copy, which may have been removed since; of one without, by an earlier e2, it is made now."""
    with contextlib.suppress(OSError, ValueError, TypeError):
        return Note(**json.loads(_note_of(copy).read_text()))
    with lent(copy) as file:
        if file is None:
            return None
        found = Note(os.fstat(file).st_size, file_sha256(copy))
        _write_note(copy, found)
        return found


@contextlib.contextmanager
def lent(copy: Path) -> Iterator[int | None]:
    """Descriptor of a copy, which nobody removes meanwhile; None if it is not there."""
    try:
        file = os.open(copy, os.O_RDONLY)
    except FileNotFoundError:
        yield None
        return
    with _closed(file):
        _hold(file)
        with contextlib.suppress(OSError):  # the file of another user
            os.utime(file)  # read last now
        yield file if os.fstat(file).st_nlink else None  # 0: removed before it was held


@contextlib.contextmanager
def stored(copy: Path, incoming: Incoming, bound: int | None) -> Iterator[int | None]:
    """Writes a copy, for which others make way if there is a ``bound`` in bytes for all of them; then lends it.

    Raises:
        InputError: a file that is larger than the bound, of unknown size, or not the one that was there before.
        OSError: it cannot be written.
    """
    sha, before = hashlib.sha256(), noted(copy)
    with contextlib.ExitStack() as lending:
        with _place(copy, incoming, bound) as temporary:
            file = lending.enter_context(_closed(os.open(temporary, os.O_RDWR)))
            with open(file, "r+b", closefd=False) as contents:
                for part in incoming.parts:
                    contents.write(part)
                    sha.update(part)
                found = Note(contents.tell(), sha.hexdigest())
            if incoming.size not in (None, found.size):
                raise InputError(f"{incoming.name}: came as {found.size:,} of {incoming.size:,} bytes; try again")
            if before not in (None, found):
                raise InputError(
                    f"{incoming.name}: is another file than before; remove {copy.parent} to read it anew, and train anew"
                )
            if before is None:
                _write_note(copy, found)
            _hold(file)  # before it has its name, so that it is not removed at once
        yield file if os.fstat(file).st_nlink else None


@contextlib.contextmanager
def _place(copy: Path, incoming: Incoming, bound: int | None) -> Iterator[Path]:
    """Yields the temporary name of a copy, which is held, its room reserved."""
    if bound is not None and (incoming.size is None or incoming.size > bound):
        size = "a size that the server does not tell" if incoming.size is None else f"{incoming.size / GB:,.3f} GB"
        raise InputError(f"{incoming.name}: {size} has no place in data.shard_cache = {bound / GB:g} GB; give more, or null")
    lock, told = LockFile(copy.parent.parent / ".room.lock"), time.monotonic() + TOLD_AFTER
    with contextlib.ExitStack() as place:
        while True:
            with lock.held():
                if bound is None or _make_room(copy.parent.parent, bound - (incoming.size or 0)):
                    temporary = place.enter_context(atomic_path(copy, cache=True))
                    _hold(place.enter_context(_closed(os.open(temporary, os.O_RDWR))))
                    os.truncate(temporary, incoming.size or 0)
                    break
            if time.monotonic() > told:
                say(f"{incoming.name}: waits for room until shards in use have been read; data.shard_cache may be too small")
                told = float("inf")
            time.sleep(PAUSE)
        yield temporary


def _make_room(folder: Path, most: int) -> bool:
    """Removes copies, those read longest ago first, until they take no more than so many bytes; False if that cannot be."""
    files = dict(_files(folder))
    noted_ones = (path.with_name(path.name[1 : -len(NOTE)]) for path in files if path.name.endswith(NOTE))
    copies = {path: files[path] for path in noted_ones if path in files}
    total = sum(status.st_size for status in copies.values())
    for path, status in files.items():
        if ".tmp" in path.suffixes and path.name.startswith("."):  # on its way, or left by a killed process
            left = path.suffix.lower() in (".tmp", ".tar") and _remove_unheld(path)
            total += 0 if left else status.st_size
    for path, status in sorted(copies.items(), key=lambda found: found[1].st_mtime_ns):
        if total <= most:
            break
        if _remove_unheld(path):
            total -= status.st_size
    return total <= most


def _files(folder: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """Files in the folders of copies; others come and go meanwhile."""
    for inner in os.scandir(folder):
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            for file in os.scandir(inner):
                with contextlib.suppress(FileNotFoundError):
                    yield Path(file.path), file.stat()


def _remove_unheld(path: Path) -> bool:
    """Removes a file unless somebody reads or writes it."""
    try:
        file = os.open(path, os.O_RDWR)  # some network drives lock nothing else alone
    except FileNotFoundError:
        return True
    except OSError:
        return False
    with _closed(file):
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink(missing_ok=True)
        except OSError:
            return False
    return True


def _hold(file: int) -> None:
    """Holds a file against removal, as others may, too; where a disk knows no locks, nothing is ever removed."""
    with contextlib.suppress(OSError):
        fcntl.flock(file, fcntl.LOCK_SH)


@contextlib.contextmanager
def _closed(file: int) -> Iterator[int]:
    """Lets go of a file and closes it in the end."""
    try:
        yield file
    finally:
        with contextlib.suppress(OSError):
            fcntl.flock(file, fcntl.LOCK_UN)  # a process that was forked meanwhile has the descriptor, too
        os.close(file)


def _note_of(copy: Path) -> Path:
    return copy.with_name(f".{copy.name}{NOTE}")


def _write_note(copy: Path, note: Note) -> None:
    with atomic_path(_note_of(copy), cache=True) as temporary:
        temporary.write_text(json.dumps(note._asdict()))

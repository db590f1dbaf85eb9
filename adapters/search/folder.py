"""The folder of an embedded index, in which one build of it takes the place of another in a single step.

``index.json`` names the sub-folder ``products-........`` that is the index; another one is being built to replace it, or is
what a process that died left. Who replaces holds the folder's lock all the while: of two only one goes on, and nobody else
removes what is not finished. Only builds in the folder's ledger, and in them files that these modules write, are ever removed.
"""

import contextlib
import json
import os
import re
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from e2.errors import InputError
from e2.files import atomic_path
from e2.outputs import OutputKind, claim, is_ours, record_folder

POINTER = "index.json"
INDEX = OutputKind("an index", finished=POINTER, begun=POINTER)  # from its start on an index that can be gone on with
DATABASE = "products.sqlite"
BUILD = re.compile(r"\.?products-[0-9a-f]{8}")  # with a dot: not whole yet
VECTORS = re.compile(r"vectors-(\d+)\.f32")
CLUSTERS = re.compile(r"clusters-(\d+)-(\d+)-(\d+)\.faiss")
HALF_POINTER = re.compile(rf"\.{re.escape(POINTER)}\.\w+\.tmp\.json")  # of a process that died
OWN = re.compile(rf"{re.escape(DATABASE)}(-journal)?|{VECTORS.pattern}|\.?{CLUSTERS.pattern}(\.\w+\.tmp\.faiss)?")


class IndexFolder:
    """See the head of this file. Several processes may use one folder; an object is of one process."""

    def __init__(self, path: Path):
        self.path = path
        self._lock = FileLock(path / ".index.lock", thread_local=False)

    def current(self) -> Path | None:
        """The sub-folder that is the index; None where there is no index.

        Raises:
            InputError: ``index.json`` is damaged.
        """
        return self._pointer()[0]

    def _pointer(self) -> tuple[Path | None, Path | None]:
        """The sub-folder that is the index, and the one whose place it took, which may be there still."""
        try:
            text = (self.path / POINTER).read_text(encoding="utf-8")
        except (FileNotFoundError, NotADirectoryError):
            return None, None
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"{self.path / POINTER} cannot be read ({error}); build the index again") from error
        with contextlib.suppress(ValueError, TypeError, KeyError):
            record = json.loads(text)
            if BUILD.fullmatch(record["products"]):
                return self.path / record["products"], self.path / record["replaced"] if record["replaced"] else None
        raise InputError(f"{self.path / POINTER} is none of e2 index build; build the index again in another folder")

    @contextlib.contextmanager
    def locked(self) -> Iterator[Callable[[], object]]:
        """Keeps other processes from replacing the index; the function that it gives makes that last until `unlock`.

        Raises:
            InputError: one is at it, or the folder cannot be written.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock.acquire(timeout=0)
        except Timeout:
            raise InputError(f"another process is building the index {self.path}; wait until it has ended") from None
        except OSError as error:
            raise InputError(f"cannot write {self.path}: {error.strerror}; choose another --out") from error
        with contextlib.ExitStack() as at_the_end:
            at_the_end.callback(self.unlock)
            yield at_the_end.pop_all

    def unlock(self) -> None:
        self._lock.release()

    def unfinished(self) -> Path | None:
        """What was being built to replace the index when its process died; under the lock."""
        current, replaced = self._pointer()
        found = (path for path in self._builds() if not path.name.startswith(".") and path not in (current, replaced))
        return next(found, None) if current else None

    def add(self, make: Callable[[Path], None]) -> Path:
        """A new sub-folder, filled by ``make``; under the lock."""
        self.sweep()
        path = self.path / f"products-{secrets.token_hex(4)}"
        temporary = path.with_name(f".{path.name}")
        record_folder(self.path, INDEX, [path.name, temporary.name])
        temporary.mkdir()
        make(temporary)
        os.replace(temporary, path)
        return path

    def publish(self, build: Path) -> None:
        """Makes a sub-folder the index, and removes the former one; under the lock."""
        former = self.current()
        record = {"products": build.name, "replaced": former.name if former else None}
        with atomic_path(self.path / POINTER) as temporary:
            temporary.write_text(json.dumps(record), encoding="utf-8")
        self.sweep()

    def sweep(self) -> None:
        """Removes all builds but the index, and what processes that died left; under the lock."""
        current = self.current()
        for path in self.path.iterdir():
            if HALF_POINTER.fullmatch(path.name):
                path.unlink()
        for build in self._builds():
            if build != current:
                remove_build(build)

    def claim(self, *, resume: bool = False, overwrite: bool = False) -> None:
        """Makes sure that an index may be built here, by `e2.outputs.claim`.

        Raises:
            InputError: there is one, neither to be gone on with nor replaced, or something that no build wrote.
        """
        claim(self.path, INDEX, resume=resume, overwrite=overwrite, remove=False)

    def _builds(self) -> list[Path]:
        found = (path for path in self.path.iterdir() if BUILD.fullmatch(path.name) and is_ours(path))
        return sorted(path for path in found if path.is_dir() and not path.is_symlink())


def remove_build(build: Path) -> None:
    """Removes the files of a build, the database first, and its folder if nothing else lies there."""
    for path in sorted(build.iterdir(), key=lambda path: path.name != DATABASE):
        if OWN.fullmatch(path.name) and path.is_file():
            path.unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        build.rmdir()

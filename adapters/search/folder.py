"""Folder of an embedded index, in which one build replaces another in a single step.

``index.json`` names the sub-folder ``products-........`` of the index; any other is being built to replace it, or was left by
a dead process. A replacing build holds the folder's lock, so there is only one and nobody removes it unfinished. Only builds
in the folder's ledger, and in them only these modules' files, are ever removed.
"""

import contextlib
import json
import os
import re
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path

from e2.errors import InputError
from e2.files import atomic_path
from e2.lockfile import LockFile
from e2.outputs import OutputKind, claim, is_ours, record_folder

POINTER = "index.json"
INDEX = OutputKind("an index", finished=POINTER, begun=POINTER)  # resumable from its start on
DATABASE = "products.sqlite"
BUILD = re.compile(r"\.?products-[0-9a-f]{8}")  # leading dot: incomplete
VECTORS = re.compile(r"vectors-(\d+)\.(?:f32|f16|i8)")
CLUSTERS = re.compile(r"clusters-(\d+)-(\d+)-(\d+)\.faiss")
HALF_POINTER = re.compile(rf"\.{re.escape(POINTER)}\.\w+\.tmp\.json")  # left by a dead process
OWN = re.compile(rf"{re.escape(DATABASE)}(-journal)?|{VECTORS.pattern}|\.?{CLUSTERS.pattern}(\.\w+\.tmp\.faiss)?")


class IndexFolder:
    """Folder of an index; see the module's docstring. Processes may share a folder, but not an object."""

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self._lock = LockFile(self.path / ".index.lock")

    def current(self) -> Path | None:
        """Sub-folder of the index; None without one."""
        return self._pointer()[0]

    def _pointer(self) -> tuple[Path | None, Path | None]:
        """Sub-folder of the index, and of its predecessor, which may still exist."""
        try:
            text = (self.path / POINTER).read_text(encoding="utf-8")
        except (FileNotFoundError, NotADirectoryError):
            return None, None
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"{self.path / POINTER} cannot be read ({error}); build the index again") from error
        with contextlib.suppress(ValueError, TypeError, KeyError, RecursionError):
            record = json.loads(text)
            if BUILD.fullmatch(record["products"]):
                return self.path / record["products"], self.path / record["replaced"] if record["replaced"] else None
        raise InputError(f"{self.path / POINTER} was not written by e2 index build; build the index again in another folder")

    @contextlib.contextmanager
    def locked(self) -> Iterator[Callable[[], object]]:
        """Keeps other processes from replacing the index; the yielded function extends the lock until `unlock`."""
        self._lock.acquire_for(self.path, f"another process is building the index {self.path}; wait until it has ended")
        with contextlib.ExitStack() as at_the_end:
            at_the_end.callback(self.unlock)
            yield at_the_end.pop_all

    def unlock(self) -> None:
        self._lock.release()

    def unfinished(self) -> Path | None:
        """Unfinished replacement left by a dead process; requires the lock."""
        current, replaced = self._pointer()
        found = (path for path in self._builds() if not path.name.startswith(".") and path not in (current, replaced))
        return next(found, None) if current else None

    def add(self, make: Callable[[Path], None]) -> Path:
        """Makes a new sub-folder, filled by ``make``; requires the lock."""
        self.sweep()
        path = self.path / f"products-{secrets.token_hex(4)}"
        temporary = path.with_name(f".{path.name}")
        record_folder(self.path, INDEX, [path.name, temporary.name])
        temporary.mkdir()
        make(temporary)
        os.replace(temporary, path)
        return path

    def publish(self, build: Path) -> None:
        """Makes a sub-folder the index, and removes the old one; requires the lock."""
        former = self.current()
        record = {"products": build.name, "replaced": former.name if former else None}
        with atomic_path(self.path / POINTER) as temporary:
            temporary.write_text(json.dumps(record), encoding="utf-8")
        self.sweep()

    def sweep(self) -> None:
        """Removes all builds except the index, and leftovers of dead processes; requires the lock."""
        current = self.current()
        for path in self.path.iterdir():
            if HALF_POINTER.fullmatch(path.name):
                path.unlink()
        for build in self._builds():
            if build != current:
                remove_build(build)

    def claim(self, *, resume: bool = False, overwrite: bool = False) -> None:
        """Checks that an index may be built here, by `e2.outputs.claim`."""
        claim(self.path, INDEX, resume=resume, overwrite=overwrite, remove=False)

    def _builds(self) -> list[Path]:
        found = (path for path in self.path.iterdir() if BUILD.fullmatch(path.name) and is_ours(path))
        return sorted(path for path in found if path.is_dir() and not path.is_symlink())


def remove_build(build: Path) -> None:
    """Removes the files of a build, the database first, and its folder if empty."""
    for path in sorted(build.iterdir(), key=lambda path: path.name != DATABASE):
        if OWN.fullmatch(path.name) and path.is_file():
            path.unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        build.rmdir()

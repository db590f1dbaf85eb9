"""Files and folders that appear whole or not at all."""

import contextlib
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from e2.errors import InputError

SHARED = 0o644  # results are meant to be read by others


@contextlib.contextmanager
def atomic_path(target: str | Path) -> Iterator[Path]:
    """Yields a temporary name beside ``target`` to write a file to; renames it on success, removes it on failure.

    Raises:
        InputError: the folder cannot be created or written, or the name is that of a folder or a device.
    """
    target = Path(target)
    if target.exists() and not target.is_file():  # a folder; or a device, which a rename would replace by a file
        raise InputError(f"cannot write {target}: it is there already and is no file; choose another --out")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.", suffix=f".tmp{target.suffix}")
        os.close(handle)
    except OSError as error:
        raise InputError(f"cannot write {target}: {error.strerror}; choose another --out") from error
    try:
        yield Path(name)
        os.chmod(name, SHARED)
        os.replace(name, target)
    finally:
        Path(name).unlink(missing_ok=True)


@contextlib.contextmanager
def atomic_folder(target: str | Path) -> Iterator[Path]:
    """The same for a folder that does not exist yet: filled under a temporary name, then renamed."""
    target = Path(target)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}.", suffix=".tmp"))
    except OSError as error:
        raise InputError(f"cannot write {target}: {error.strerror}; choose another --out") from error
    try:
        yield temporary
        share(temporary)
        os.replace(temporary, target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def share(folder: Path) -> None:
    """Lets others read a folder and everything in it: tempfile and safetensors make private ones."""
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755 if path.is_dir() else SHARED)


def file_sha256(path: str | Path) -> str:
    """Hash of a file's bytes, read a piece at a time."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()

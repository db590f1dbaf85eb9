"""Writes files and folders that appear whole or not at all."""

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from e2.errors import InputError
from e2.outputs import LEDGER, OutputKind, aside, claim, record, record_folder, require_ours, restore

SHARED = 0o644  # results are meant to be read by others


@contextlib.contextmanager
def atomic_path(target: str | Path, *, cache: bool = False) -> Iterator[Path]:
    """Yields a temporary name beside ``target`` to write a file to; renames it on success, removes it on failure.

    Args:
        target: the file. One that e2 did not write is never replaced (`e2.outputs`).
        cache: the folder is e2's own, so the file needs no record.

    Raises:
        InputError: the folder cannot be created or written, or ``target`` exists and e2 did not write it.
    """
    target = Path(target)
    if not cache:
        require_ours(target)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.", suffix=f".tmp{target.suffix}")
        os.close(handle)
    except OSError as error:
        raise InputError(f"cannot write {target}: {error.strerror}; choose another --out") from error
    try:
        yield Path(name)
        _put(Path(name), target, cache)
    finally:
        Path(name).unlink(missing_ok=True)


@contextlib.contextmanager
def atomic_tensors(target: Path, *, cache: bool = False) -> Iterator[Path]:
    """Same as `atomic_path` for a file of safetensors, with the temporary name in a folder of its own.

    safetensors writes beside the name it is given, to one of its own choosing, which a killed process leaves: the folder
    tells whose it is.
    """
    if not cache:
        require_ours(target)
    with _temporary_folder(target) as folder:
        yield folder / target.name
        _put(folder / target.name, target, cache)


def _put(written: Path, target: Path, cache: bool) -> None:
    os.chmod(written, SHARED)
    if not cache:
        record(target)
    os.replace(written, target)


def write_json(path: Path, content: Any) -> None:
    """Writes a JSON file, whole or not at all. Refuses NaN, which standard JSON lacks."""
    with atomic_path(path) as temporary:
        text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")


@contextlib.contextmanager
def atomic_folder(target: str | Path) -> Iterator[Path]:
    """Yields a temporary folder that becomes ``target``, which must not exist yet, on success."""
    with _temporary_folder(Path(target)) as temporary:
        yield temporary
        share(temporary)
        os.replace(temporary, target)


@contextlib.contextmanager
def output_folder(out: str | Path, kind: OutputKind, *, overwrite: bool = False) -> Iterator[Path]:
    """Yields a temporary folder for a command's output; on success it replaces an earlier output of its kind.

    A killed process leaves the old or the new one; killed between the two renames, the next command that writes or opens it
    restores it (`e2.outputs.restore`).

    Raises:
        InputError: the folder holds another kind of output, is not e2's, or may not be replaced (`e2.outputs.claim`).
    """
    claim(Path(out), kind, overwrite=overwrite, remove=False)
    out = Path(os.path.realpath(out))  # replace the target of a link, not the link
    with _temporary_folder(out) as temporary:
        yield temporary
        record_folder(temporary, kind, (path.name for path in list(temporary.iterdir()) if path.name != LEDGER))
        share(temporary)
        claim(out, kind, overwrite=overwrite, remove=False)  # others may have put something there meanwhile
        try:
            if out.exists():
                os.rename(out, aside(out))
            os.rename(temporary, out)
            if aside(out).exists():
                os.rename(aside(out), temporary)  # to be removed
        except OSError as error:
            restore(out)
            raise InputError(f"cannot write {out}: {error.strerror}; choose another --out") from error


@contextlib.contextmanager
def _temporary_folder(target: Path) -> Iterator[Path]:
    """Yields a new folder beside ``target``, removed at the end if still there."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}.", suffix=".tmp"))
    except OSError as error:
        raise InputError(f"cannot write {target}: {error.strerror}; choose another --out") from error
    try:
        yield temporary
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def share(folder: Path) -> None:
    """Makes a folder and its content readable by others: tempfile and safetensors create private ones."""
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755 if path.is_dir() else SHARED)


def file_sha256(path: str | Path) -> str:
    """SHA-256 of a file, read in chunks."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()

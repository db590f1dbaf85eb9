"""Keeps track of e2's own files, so that it never replaces or removes anyone else's.

Every folder that e2 writes to holds a *ledger*, ``.e2-files``: a JSON line ``[name, kind]`` for each name it wrote there. Only
names in the ledger are ever replaced or removed. `e2.files.atomic_path` asks it for single files; `claim` for folders that
hold one thing (a run, a captioner, embeddings, ...), which may be unfinished, finished, or foreign.
"""

import contextlib
import glob
import json
import os
import re
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from e2.errors import InputError

LEDGER = ".e2-files"
NOTED = f"{LEDGER} there lists what it wrote; earlier versions kept none"
ADDRESS = re.compile(r"[A-Za-z][\w+.-]+:/")
FILE = ""  # kind of a file that is an output by itself
State = Literal["new", "begun", "finished"]


@dataclass(frozen=True)
class OutputKind:
    """A kind of output folder."""

    name: str  # for messages, with its article: "a run"
    finished: str = ""  # the file that marks it complete; empty: it appears whole or not at all
    begun: str = ""  # pattern of the files of an unfinished one
    names: tuple[str, ...] = ()  # its other files, if their names are known beforehand


def is_ours(path: Path) -> bool:
    """True if e2 wrote this file or folder."""
    return path.name in {name for name, _ in _ledger(path.parent)}


def record(path: Path, kind: str = FILE) -> None:
    """Notes in the ledger that ``path`` is e2's. One short append: concurrent processes lose no line."""
    if (path.name, kind) not in _ledger(path.parent):
        with open(path.parent / LEDGER, "a", encoding="utf-8") as file:
            file.write(json.dumps([path.name, kind]) + "\n")


def record_folder(folder: Path, kind: OutputKind, further: Iterable[str] = ()) -> None:
    """Notes a folder's kind and the names that belong to it in its own ledger; makes the folder if need be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name in filter(None, (LEDGER, kind.finished, *kind.names, *further)):
            record(folder / name, kind.name)
    except OSError as error:
        raise InputError(f"cannot write {folder}: {error.strerror}; choose another --out") from error


def require_ours(target: Path) -> None:
    """Refuses to replace a file that e2 did not write, and addresses, which would become folders here."""
    _refuse_address(target)
    if not os.path.lexists(target):
        return
    if not target.is_file():
        raise InputError(f"cannot write {target}: it is there already and is not a file; choose another --out")
    if not is_ours(target):
        raise InputError(
            f"{target} is there already and was not written by e2 ({NOTED}); move it away or choose another --out"
        )


def claim_file(target: Path, *, overwrite: bool) -> None:
    """Checks that an output file may be written."""
    require_ours(target)
    if target.exists() and not overwrite:
        raise InputError(f"{target} exists already; choose another --out, or replace it by --overwrite")


def claim(out: Path, kind: OutputKind, *, resume: bool = False, overwrite: bool = False, remove: bool = True) -> State:
    """Checks that a folder may be written; returns the state of an earlier output of this kind.

    Args:
        out: the folder.
        kind: kind of output to write.
        resume: continue an unfinished or finished one.
        overwrite: replace an earlier one.
        remove: remove the old one now; otherwise the caller replaces it once the new one is complete.

    Returns:
        ``begun`` or ``finished`` where ``resume`` finds one, else ``new``.

    Raises:
        InputError: the folder is of another kind, holds files that e2 did not write, or holds an output that is to be neither
            resumed nor replaced.
    """
    _refuse_address(out)
    restore(out)
    if (LEDGER, kind.name) in _ledger(aside(out)):  # left by a process that was killed after the new one had taken its place
        _remove_folder(aside(out), kind)
    state = state_of(out, kind)
    if state != "new" and resume and not overwrite:
        return state
    _refuse_others(out, kind)
    if state != "new" and not overwrite:
        noun = kind.name.removeprefix("a ").removeprefix("an ")
        way = "continue with --resume, replace it by --overwrite" if kind.begun else "replace it by --overwrite"
        what = f"an unfinished {noun}" if state == "begun" else f"a finished {noun} already"
        raise InputError(f"--out {out} holds {what}; {way}, or choose another folder")
    if remove:
        _make_way(out, kind)
    return "new"


def claim_results(out: Path, *names: str) -> None:
    """Refuses, before any work, a folder of results in which one of ``names`` could not be written.

    Raises:
        InputError: ``out`` is a file, or one of the names exists and e2 did not write it.
    """
    _refuse_address(out)
    if out.exists() and not out.is_dir():
        raise InputError(f"cannot write {out / names[0] if names else out}: {out} is a file; choose another --out")
    for name in names:
        require_ours(out / name)


def state_of(out: Path, kind: OutputKind) -> State:
    """State of an output of this kind; files not in the ledger do not count."""
    if (LEDGER, kind.name) not in _ledger(out):
        return "new"
    if not kind.finished or (out / kind.finished).is_file():
        return "finished"
    return "begun" if kind.begun and any(out.glob(kind.begun)) else "new"


def aside(out: Path) -> Path:
    """Temporary name of an output while another takes its place."""
    out = Path(os.path.realpath(out))
    return out.with_name(f".{out.name}.replaced")


def restore(path: Path) -> None:
    """Restores an output left under its temporary name by a killed process; ``path`` is the output or a file in it."""
    for out in (path, path.parent):
        with contextlib.suppress(OSError, ValueError):  # another process did the same, or it is not a path
            if not out.exists() and _ledger(aside(out)):
                aside(out).rename(os.path.realpath(out))


def _remove_folder(out: Path, kind: OutputKind) -> None:
    """Removes an output: its own names, and the folder if nothing else is in it."""
    _make_way(out, kind)
    with contextlib.suppress(OSError):
        (out / LEDGER).unlink(missing_ok=True)
        out.rmdir()


def _refuse_address(path: Path) -> None:
    """Refuses ``s3://bucket/name``, of which a path has kept one slash; a drive of Windows is a single letter."""
    if ADDRESS.match(path.as_posix()):
        raise InputError(f"cannot write {path}: it is an address; write to a folder on this machine and copy it there")


def _refuse_others(out: Path, kind: OutputKind) -> None:
    if not os.path.lexists(out):
        return
    if not out.is_dir():
        raise InputError(f"--out {out} is there already and is not a folder; choose a new folder")
    names = sorted(path.name for path in out.iterdir() if not _is_passing(path.name))
    ledger = _ledger(out)
    if not names:
        return
    others = {written for _, written in ledger} - {FILE, kind.name}
    if others:
        raise InputError(f"--out {out} holds {sorted(others)[0]}, not {kind.name}; choose another folder")
    foreign = [name for name in names if name not in {written for written, _ in ledger}]
    if foreign or kind.name not in {written for _, written in ledger}:
        shown = (foreign or names)[0]
        raise InputError(
            f"--out {out} holds other files ({shown!r}) than e2 wrote ({NOTED}); remove the folder yourself, or choose another"
        )


def _make_way(out: Path, kind: OutputKind) -> None:
    """Removes an earlier output, first the file that marks it complete, so that no half of it ever looks whole."""
    own = {name for name, written in _ledger(out) if written == kind.name} - {LEDGER}
    for name in sorted(own, key=lambda name: name != kind.finished):
        for path in (out / name, *out.glob(f".{glob.escape(name)}.*.tmp*")):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)


def _is_passing(name: str) -> bool:
    """True for a lock, the ledger or a temporary file of a killed process."""
    return name == LEDGER or (name.startswith(".") and (name.endswith(".lock") or ".tmp" in name))


def _ledger(folder: Path) -> set[tuple[str, str]]:
    """Names and kinds noted in a folder's ledger; skips a line cut short by a killed process."""
    try:
        lines = (folder / LEDGER).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return set()
    found = set()
    for line in lines:
        with contextlib.suppress(ValueError, TypeError):
            name, kind = json.loads(line)
            found.add((str(name), str(kind)))
    return found

"""Which engine keeps an index: by a path FAISS and SQLite in this process, by a URI a Milvus server."""

import os
import re
from pathlib import Path
from typing import Any

from e2.adapters.search.folder import IndexFolder
from e2.adapters.search.local_store import LocalStore
from e2.adapters.search.store import Manifest, Store
from e2.errors import InputError

URI = re.compile(r"https?://|tcp://")


def is_uri(place: str) -> bool:
    """Whether it names a server's collection; the ``.db`` file of a Milvus Lite counts as a server."""
    return bool(URI.match(place)) or ".db/" in place or place.endswith(".db")


def folder_of(place: str) -> Path | None:
    """The folder that an index lies in; None on a server."""
    return None if is_uri(place) else Path(place)


def open_store(place: str) -> Store:
    """Opens what is there.

    Raises:
        InputError: no index, a damaged one, or no server.
    """
    engine, where = _engine(place)
    return engine.open(where)


def claim_place(place: str, *, resume: bool, overwrite: bool) -> None:
    """Makes sure, before anything is embedded, that an index may be built in a folder; a server is asked by `create_store`.

    Raises:
        InputError: there is one, neither to be gone on with nor replaced, or something that no build wrote.
    """
    if (folder := folder_of(place)) is not None:
        IndexFolder(folder).claim(resume=resume, overwrite=overwrite)


def create_store(place: str, manifest: Manifest, *, overwrite: bool = False) -> Store:
    """Makes an empty index.

    With ``overwrite`` it is made beside the one that is there and takes its place when `Store.finish` is called.

    Raises:
        InputError: there is one already (and not ``overwrite``), something that is no index, or the place cannot be written.
    """
    engine, where = _engine(place)
    return engine.create(where, manifest, overwrite=overwrite)


def resume_store(place: str) -> Store | None:
    """The index that a build at a place continues with: one that is to replace another, else the one there; None: neither.

    Raises:
        InputError: another process is building it, or it is damaged.
    """
    engine, where = _engine(place)
    return engine.resume(where)


def exists(place: str) -> bool:
    """Whether there is an index."""
    engine, where = _engine(place)
    return engine.exists(where)


def _engine(place: str) -> tuple[Any, str | Path]:
    """The class of `Store` for a place, and the place as it takes it."""
    if not is_uri(place):
        return LocalStore, Path(place)
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")  # else a line for every process that loads photos; read at the import
    try:
        from e2.adapters.search.milvus_store import MilvusStore  # takes a second to import
    except ImportError as error:
        raise InputError(f"{place}: a Milvus server needs the package pymilvus: pip install 'e2-fashion[search]'") from error
    return MilvusStore, place

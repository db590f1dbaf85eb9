"""Chooses an index's engine: for a path FAISS and SQLite in this process, for a URI a Milvus server."""

import os
import re
from pathlib import Path
from typing import Any

from e2.adapters.search.folder import IndexFolder
from e2.adapters.search.local_store import LocalStore
from e2.adapters.search.store import Manifest, Store
from e2.extras import extra

URI = re.compile(r"https?://|tcp://")


def is_uri(address: str) -> bool:
    """True if it names a server's collection; the ``.db`` file of a Milvus Lite counts as a server."""
    return bool(URI.match(address)) or ".db/" in address or address.endswith(".db")


def folder_of(address: str) -> Path | None:
    """Folder of an index; None on a server."""
    return None if is_uri(address) else Path(address)


def claim_address(address: str, *, resume: bool, overwrite: bool) -> None:
    """Checks, before embedding, that an index may be built in a folder; for a server, `create_store` does."""
    if (folder := folder_of(address)) is not None:
        IndexFolder(folder).claim(resume=resume, overwrite=overwrite)


def open_store(address: str) -> Store:
    """Opens an index.

    Raises:
        InputError: no index, a damaged one, or no server.
    """
    return _engine(address).open(address)


def create_store(address: str, manifest: Manifest, *, overwrite: bool = False) -> Store:
    """Makes an empty index; with ``overwrite`` beside the existing one, which it replaces when `Store.finish` is called.

    Raises:
        InputError: an index exists (without ``overwrite``), or something else, or it cannot be written.
    """
    return _engine(address).create(address, manifest, overwrite=overwrite)


def resume_store(address: str) -> Store | None:
    """Opens the index that a build continues: an unfinished replacement, or else the existing one; None without either.

    Raises:
        InputError: another process is building it, or it is damaged.
    """
    return _engine(address).resume(address)


def _engine(address: str) -> type[Any]:
    """Class of the `Store` for an address."""
    if not is_uri(address):
        return LocalStore
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")  # otherwise a line for every process that loads photos; read at import
    with extra("search", f"{address}: a Milvus server"):
        from e2.adapters.search.milvus_store import MilvusStore  # takes a second to import
    return MilvusStore

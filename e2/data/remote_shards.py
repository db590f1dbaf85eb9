"""Remote shards (``https://``, ``s3://``): fetched into the cache, and decoded once while others are on their way.

Where their room is bounded (``data.shard_cache``), copies that were read longest ago are removed for others, and fetched
again when they are read again (`e2.data.room`).
"""

import contextlib
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from e2.data.remote import copy_of, incoming
from e2.data.room import Note, lent, noted, stored
from e2.data.shard_files import decode_once, was_decoded
from e2.errors import InputError
from e2.lockfile import LockFile
from e2.progress import with_progress

AT_ONCE = 4  # shards: more fill no slow link, and none of them would be there to be worked on


@dataclass(frozen=True)
class RemoteShard:
    """A shard at an address."""

    address: str
    bound: int | None = None  # bytes that the copies of all shards may take; None: no bound

    @property
    def path(self) -> Path:
        """Place of the shard's copy in the cache, which may have been removed."""
        return copy_of(self.address)

    @property
    def note(self) -> Note:
        """Size and hash, which stay known."""
        while (found := noted(self.path)) is None:
            with self.opened():
                pass
        return found

    def stamp(self) -> tuple[object, ...]:
        """Name, size and hash of the shard, whether its copy is there or not."""
        return (self.path.name, *self.note)

    @contextlib.contextmanager
    def opened(self) -> Iterator[int]:
        """Descriptor of the copy, which nobody removes meanwhile; fetches it first, or waits for the process that does."""
        while True:
            for way in (lent(self.path), self._fetched()):
                with way as file:
                    if file is not None:
                        yield file
                        return

    @contextlib.contextmanager
    def _fetched(self) -> Iterator[int | None]:
        """Fetches a missing copy; yields its descriptor, None if it was removed again or another process was faster."""
        copy = self.path
        with contextlib.ExitStack() as lending:
            try:
                with LockFile(copy.with_name(f"{copy.name}.lock")).held():
                    there = copy.exists()
                    file = None if there else lending.enter_context(stored(copy, incoming(self.address), self.bound))
            except OSError as error:
                raise InputError(f"cannot write {copy} ({error}); set E2_CACHE to a folder with room for it") from error
            yield file


def arrive(shards: Sequence[RemoteShard]) -> None:
    """Fetches the shards that are not there and decodes the photos of these, in any of several processes.

    Where the room is bounded, those that were decoded before are left where they are.

    Raises:
        InputError: a shard that cannot be fetched, stored or read.
    """
    missing = [shard for shard in shards if _is_needed(shard)]
    links, workers, work = ThreadPoolExecutor(AT_ONCE), ThreadPoolExecutor(os.cpu_count()), list[Future]()

    def come(shard: RemoteShard) -> None:
        with contextlib.ExitStack() as until_decoded:
            if _is_needed(shard):  # no other process was faster
                until_decoded.enter_context(shard.opened())
                work.append(workers.submit(decode, shard, until_decoded.pop_all()))

    def decode(shard: RemoteShard, held: contextlib.ExitStack) -> None:
        with held:
            decode_once(shard)

    try:
        for _ in with_progress(links.map(come, missing), "fetching files", len(missing), bool(missing)):
            pass
        for each in work:
            each.result()
    finally:
        links.shutdown(cancel_futures=True)
        workers.shutdown(cancel_futures=True)


def _is_needed(shard: RemoteShard) -> bool:
    if shard.bound is None:
        return not shard.path.exists()
    return noted(shard.path) is None or not was_decoded(shard)

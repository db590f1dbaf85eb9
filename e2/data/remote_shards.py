"""Remote shards (``https://``, ``s3://``): fetched into the cache, and decoded once while others are on their way."""

import os
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from e2.data.remote import copy_of, fetched
from e2.data.shard_files import LocalShard, decode_once
from e2.progress import with_progress

AT_ONCE = 4  # shards: more fill no slow link, and none of them would be there to be worked on


@dataclass(frozen=True)
class RemoteShard:
    """A shard at an address."""

    address: str

    @property
    def path(self) -> Path:
        """Its copy in the cache, which has its name."""
        return copy_of(self.address)

    def stamp(self) -> tuple[object, ...]:
        """Stamp of the copy."""
        return LocalShard(self.path).stamp()

    def opened(self) -> AbstractContextManager[int]:
        """Descriptor of the copy."""
        return LocalShard(self.path).opened()


def arrive(shards: Sequence[RemoteShard]) -> None:
    """Fetches the shards that are not there yet, and decodes the photos of these, in any of several processes.

    Raises:
        InputError: a shard that cannot be fetched, stored or read.
    """
    missing = [shard for shard in shards if not shard.path.exists()]
    links, workers, work = ThreadPoolExecutor(AT_ONCE), ThreadPoolExecutor(os.cpu_count()), list[Future]()

    def come(shard: RemoteShard) -> None:
        fetched(shard.address)
        work.append(workers.submit(decode_once, shard))

    try:
        for _ in with_progress(links.map(come, missing), "fetching files", len(missing), bool(missing)):
            pass
        for each in work:
            each.result()
    finally:
        links.shutdown(cancel_futures=True)
        workers.shutdown(cancel_futures=True)

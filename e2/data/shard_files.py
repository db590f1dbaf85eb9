"""A shard's file: opened to be read at known places, indexed once, and its photos decoded once."""

import contextlib
import functools
import json
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

import pyarrow as pa

from e2.data import cache
from e2.data.images import BadImage, MissingImage, UnreadableImage, check_image, reading_rules
from e2.data.tar_samples import sample_tables
from e2.errors import InputError
from e2.files import atomic_path
from e2.lockfile import LockFile

FORMAT = 6  # version of the cache; counts up whenever the same shards give other samples


class Shard(Protocol):
    """A tar of products. Hashable, picklable and small."""

    @property
    def path(self) -> Path:
        """File of the shard, or of its copy."""

    def stamp(self) -> tuple[object, ...]:
        """JSON-able description that changes with its contents."""

    def opened(self) -> AbstractContextManager[int]:
        """Descriptor of the open file, for positioned reads.

        Raises:
            InputError, OSError: it is not there, or cannot be read.
        """


@dataclass(frozen=True)
class LocalShard:
    """A shard on a disk."""

    path: Path

    def stamp(self) -> tuple[object, ...]:
        """Path, size and time of change."""
        return cache.file_stamps([self.path])[0]

    @contextlib.contextmanager
    def opened(self) -> Iterator[int]:
        """Descriptor of the file, which stays open for later reads."""
        file = _opened(self.path)  # referenced by name: closed once nobody uses it
        yield file.fileno()


@functools.lru_cache(maxsize=128)  # an open file each; evicted ones are closed
def _opened(file: Path) -> BinaryIO:
    return file.open("rb", buffering=0)  # positions are given with each read, so processes and threads may share it


def read_photo(shard: Shard, offset: int, size: int) -> bytes:
    """Reads an encoded photo.

    Raises:
        BadImage: it cannot be read.
    """
    where = f"{shard.path}, byte {offset:,}"
    try:
        with shard.opened() as file:
            contents = os.pread(file, size, offset)
    except InputError as error:
        raise UnreadableImage(where, str(error)) from error
    except FileNotFoundError:
        raise MissingImage(where, "there is no such file") from None
    except OSError as error:
        raise UnreadableImage(where, f"it cannot be read ({error.strerror})") from error
    if len(contents) < size:
        raise BadImage(where, "the shard ends within it")
    return contents


def shard_index(shard: Shard) -> pa.Table:
    """Indexes a shard (`e2.data.tar_samples.SAMPLES`), cached until it changes."""
    path = cache.cache_folder() / "shards" / f"{cache.key(FORMAT, [shard.stamp()])}.arrow"
    return cache.mapped_table(path, lambda: _samples_of(shard))


def _samples_of(shard: Shard) -> Iterator[pa.Table]:
    with shard.opened():  # so that it is there
        yield from sample_tables(shard.path)


def was_decoded(shard: Shard) -> bool:
    """Tells whether `decode_once` has ended."""
    return _verdict_on(shard).exists()


def decode_once(shard: Shard) -> None:
    """Indexes a shard and decodes its photos, in one of several processes; a catalogue's check leaves out those found good."""
    verdict, good = _verdict_on(shard), []
    with LockFile(verdict.with_name(f"{verdict.name}.lock")).held():
        if verdict.exists():
            return
        for place in shard_index(shard).column("images").combine_chunks().flatten().to_pylist():
            with contextlib.suppress(BadImage):
                check_image(read_photo(shard, **place))
                good.append(place["offset"])
        with atomic_path(verdict, cache=True) as temporary:
            temporary.write_text(json.dumps(good))


@functools.lru_cache(maxsize=128)
def good_places(shard: Shard) -> frozenset[int]:
    """Places of the photos of a shard that were decoded; none if nobody has decoded them all."""
    try:
        return frozenset(json.loads(_verdict_on(shard).read_text()))
    except (OSError, ValueError):
        return frozenset()


def _verdict_on(shard: Shard) -> Path:
    key = cache.key(FORMAT, [shard.stamp()], *reading_rules())
    return cache.cache_folder() / "checks" / f"shard-{key}.json"

"""``webdataset:PATTERN``: tar shards in WebDataset's layout, read at random.

Adjacent files of a tar whose names agree up to the first dot are a sample: ``000017.jpg`` (more photos: ``000017.1.jpg``),
``000017.json`` with the product's id, caption(s), tags and regions, or ``000017.txt`` with the caption alone. Endings may be
in any case. Names may contain dots if each sample has a text: ``size 2.5.jpg`` and ``size 2.5.txt``. Each shard is indexed
once (`e2.data.tar_samples`); from then on a photo is one read at a known offset, so shards are shuffled, shared among
processes and resumed like any other catalogue.
"""

import functools
import glob
import json
import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from e2.data import cache
from e2.data.catalogue import ImageStore
from e2.data.columns import MALFORMED, NOTE, NOTES, REGIONS, Columns, normalise
from e2.data.read import JSON_ROWS_FOR_NAMES, json_column
from e2.data.remote import is_remote
from e2.data.remote_shards import RemoteShard, arrive
from e2.data.shard_files import FORMAT, LocalShard, Shard, good_places, read_photo, shard_index
from e2.data.tables import OTHER_NAMES, SHARD, SPLITS, FileSource, require_columns
from e2.data.tar_samples import SAMPLES_AT_ONCE
from e2.errors import InputError, in_brief
from e2.extras import extra

LONGEST_NOTE = 80  # characters


class ShardSource(FileSource):
    """Shards given by a folder or a pattern of braces and wild cards; ``argument`` is the part of the SPEC after the colon.

    Shards called ``train-000000.tar``, ``val-...`` and ``test-...`` are splits; shards of other names form one split.
    ``bound``: bytes that copies of remote ones may take.
    """

    def __init__(self, argument: str, bound: int | None = None):
        self._shards = shards_by_split(argument, bound)
        self._arrived: set[str] = set()  # splits
        self.files: Mapping[str, tuple[Path, ...]] = {
            split: tuple(shard.path for shard in shards) for split, shards in self._shards.items()
        }
        self.one_split = not set(self.files) & set(SPLITS)

    def shards(self, split: str) -> tuple[Shard, ...]:
        """Shards of a split; remote ones are fetched first, once."""
        shards = self._shards[split]
        if split not in self._arrived:
            arrive([shard for shard in shards if isinstance(shard, RemoteShard)])
            self._arrived.add(split)
        return shards

    def identity(self, split: str) -> list[object]:
        return [shard.stamp() for shard in self.shards(split)]

    def columns(self, split: str, needed: Collection[str] = ()) -> tuple[str, ...]:
        """Columns of the layout, and keys of the first samples, or of more until the ``needed`` ones have occurred."""
        names = dict.fromkeys([Columns.id, Columns.image, Columns.caption])
        samples = (cell for shard in self.shards(split) for cell in shard_index(shard).column("json"))
        for number, sample in enumerate(samples):
            if number >= JSON_ROWS_FOR_NAMES and names.keys() >= set(needed):
                break
            names |= dict.fromkeys(_object(sample.as_py()))
        return tuple(names)

    def load(self, split: str, tags: Sequence[str], columns: Columns) -> functools.partial:
        """Picklable function that loads the products of a split, their photos as locations in the shards."""
        needed = columns.needed(tags)
        require_columns(self.files[split][0], self.columns(split, needed), needed)
        return functools.partial(load_shards, self.shards(split), tuple(tags), columns)

    def images(self, split: str, columns: Columns) -> "TarImages":
        """Inside the shards."""
        return TarImages(self.shards(split))


@dataclass(frozen=True)
class TarImages(ImageStore):
    """Photos at known offsets in tar files."""

    shards: tuple[Shard, ...]

    def known_good(self, entry: dict[str, Any]) -> bool:
        """Tells whether the photo was decoded when its shard arrived."""
        return entry["offset"] in good_places(self.shards[entry["shard"]])

    def read(self, entry: dict[str, Any]) -> bytes:
        return read_photo(self.shards[entry["shard"]], entry["offset"], entry["size"])


def shards_by_split(argument: str, bound: int | None = None) -> dict[str, tuple[Shard, ...]]:
    """Maps each split to its shards, in order."""
    shards: list[Shard] = []
    if is_remote(argument):
        shards += (RemoteShard(address, bound) for address in _addresses(argument))
    else:
        shards += map(LocalShard, _files(argument))
    found: dict[str, list[Shard]] = {}
    for shard in shards:
        name = SHARD.sub("", shard.path.stem).lower()
        found.setdefault(OTHER_NAMES.get(name, name), []).append(shard)
    if not set(found) & set(SPLITS):
        return {"shards": tuple(shards)}
    if odd := sorted(set(found) - set(SPLITS)):
        name = found[odd[0]][0].path.name
        raise InputError(f"webdataset:{argument}: {name} names no split; leave it out by the pattern")
    return {split: tuple(shards) for split, shards in found.items()}


def _files(argument: str) -> tuple[Path, ...]:
    spec = f"webdataset:{argument}"
    if argument.startswith("pipe:"):
        raise InputError(f"{spec}: photos are read at random, so shards must be files; name these, or their addresses")
    pattern = os.path.expanduser(argument)
    if os.path.isdir(pattern):
        pattern = os.path.join(glob.escape(pattern), "*.[tT][aA][rR]")
    elif os.path.isfile(pattern):  # whatever its name holds
        return (Path(pattern),)
    names = _braces_expanded(pattern) if "{" in pattern else [pattern]
    found = [Path(file) for name in names for file in (sorted(glob.glob(name)) if glob.has_magic(name) else [name])]
    missing = [file for file in found if not file.is_file()]
    if missing or not found:
        lost = f"; {missing[0]} and {len(missing) - 1:,} more are missing" if len(missing) > 1 else ""
        raise InputError(f"{spec}: there is no such shard{lost}; name a folder of .tar files or a pattern like {{00..15}}.tar")
    return tuple(found)


def _addresses(argument: str) -> tuple[str, ...]:
    if "*" in argument:
        raise InputError(f"webdataset:{argument}: * finds local files alone; name remote ones by braces, {{00..15}}.tar")
    return tuple(_braces_expanded(argument)) if "{" in argument else (argument,)


def _braces_expanded(pattern: str) -> Iterable[str]:
    with extra("sources", "webdataset"):
        from braceexpand import braceexpand
    return braceexpand(pattern)


def load_shards(shards: Sequence[Shard], tags: Sequence[str], columns: Columns) -> pa.Table:
    """Loads all samples of some shards as a normalised table, mapped from the cache, photos as (shard, offset, size)."""
    path = cache.cache_folder() / "shards" / f"{cache.key(FORMAT, [shard.stamp() for shard in shards], tags, columns)}.arrow"
    return cache.mapped_table(path, lambda: _normalised(shards, tags, columns))


def _normalised(shards: Sequence[Shard], tags: Sequence[str], columns: Columns) -> Iterator[pa.Table]:
    with ThreadPoolExecutor(os.cpu_count()) as pool:  # waits for disks, not for the processor
        for number, samples in enumerate(pool.map(shard_index, shards)):
            samples = samples.append_column(MALFORMED, _malformed(samples))
            for start in range(0, max(1, len(samples)), SAMPLES_AT_ONCE):
                part = samples.slice(start, SAMPLES_AT_ONCE)
                yield _texts(part, tags, columns, str(shards[number].path)).append_column("images", _places(part, number))


def _texts(samples: pa.Table, tags: Sequence[str], columns: Columns, where: str) -> pa.Table:
    wanted = [name for name in dict.fromkeys([*columns.needed(tags), REGIONS]) if name != columns.image]
    found = samples.drop_columns(["images"]).to_pylist()
    rows = [_row(sample, columns) for sample in found]
    cells = {name: json_column([row.get(name) for row in rows]) for name in wanted}
    told = [_note(sample, row, columns) for sample, row in zip(found, rows, strict=True)]
    cells |= {MALFORMED: samples.column(MALFORMED), NOTES: pa.array(told, pa.list_(NOTE))}
    return normalise(pa.table(cells), tags, columns, where)


def _malformed(samples: pa.Table) -> pa.Array:
    """Fault of each sample, e.g. that its files are not adjacent in the shard; null for others."""
    keys = samples.column("key").combine_chunks().dictionary_encode()
    numbers = np.asarray(keys.indices)
    again = np.bincount(numbers, minlength=len(keys.dictionary))[numbers] > 1
    parts = again & np.asarray(samples.column("endings").is_valid())  # a whole sample that occurs twice is a duplicate
    reason = "files not adjacent: those of a sample must follow one another in the tar, as tar --sort=name puts them"
    problems = samples.column("problem").to_pylist()
    return pa.array([reason if part else problem for part, problem in zip(parts.tolist(), problems, strict=True)], pa.string())


def _row(sample: dict[str, Any], columns: Columns) -> dict[str, Any]:
    """Completes a sample's json from its txt and its name."""
    row = _object(sample["json"])
    if row.get(columns.caption) in (None, "", []):
        row[columns.caption] = sample["txt"]
    if columns.id == Columns.id:
        row.setdefault(columns.id, sample["key"])
    return row


def _note(sample: dict[str, Any], row: dict[str, Any], columns: Columns) -> list[dict[str, str]] | None:
    """Notes on what a sample has in place of what it lacks."""
    if sample["endings"]:
        return [{"what": "files found", "value": sample["endings"]}]
    if row.get(columns.caption) in (None, "", []) and sample["json"]:
        return [{"what": "caption not among the keys", "value": in_brief(" ".join(_object(sample["json"])), LONGEST_NOTE)}]
    return None


def _object(cell: str | None) -> dict[str, Any]:
    """JSON object of a sample, which is known to be one; empty if it has none."""
    return json.loads(cell) if cell else {}


def _places(samples: pa.Table, shard: int) -> pa.ListArray:
    lists = samples.column("images").combine_chunks()
    lists = lists.chunk(0) if isinstance(lists, pa.ChunkedArray) else lists
    places = lists.flatten()
    number = pa.array(np.full(len(places), shard, np.int32))
    entries = pa.StructArray.from_arrays([number, *places.flatten()], names=["shard", "offset", "size"])
    counts = np.asarray(lists.value_lengths())
    return pa.ListArray.from_arrays(pa.array(np.concatenate([[0], counts.cumsum()]), pa.int32()), entries)

"""``webdataset:PATTERN``: tar shards in WebDataset's layout, read at random.

Adjacent files of a tar whose names agree up to the first dot are a sample: ``000017.jpg`` (more photos: ``000017.1.jpg``),
``000017.json`` with the product's id, caption(s), tags and regions, or ``000017.txt`` with the caption alone. Endings may be
in any case. Names may contain dots if each sample has a text: ``size 2.5.jpg`` and ``size 2.5.txt``. Each shard is indexed
once; from then on a photo is one read at a known offset, so shards are shuffled, shared among processes and resumed like any
other catalogue. Remote ones (``https://``, ``s3://``) are fetched into the cache first, those of the splits that are used;
each is indexed and its photos are decoded once while the next ones are on their way.
"""

import contextlib
import functools
import glob
import itertools
import json
import os
import tarfile
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, NamedTuple, TypeVar

import numpy as np
import pyarrow as pa

from e2.data import cache
from e2.data.catalogue import ImageStore
from e2.data.cells import IMAGE_ENDINGS
from e2.data.columns import MALFORMED, NOTE, NOTES, REGIONS, Columns, normalise
from e2.data.dialect import foreign_byte
from e2.data.images import BadImage, MissingImage, UnreadableImage, check_image, reading_rules
from e2.data.read import JSON_ROWS_FOR_NAMES, json_column
from e2.data.remote import fetched, is_remote, name_of
from e2.data.tables import OTHER_NAMES, SHARD, SPLITS, FileSource, require_columns
from e2.errors import InputError, escaped, in_brief, in_short, printable
from e2.extras import extra
from e2.files import atomic_path
from e2.json_once import RepeatedKey, loads_once
from e2.lockfile import LockFile

FORMAT = 6  # version of the cache; counts up whenever the same shards give other samples
TEXT_ENDINGS = ("json", "txt")
PLACE = pa.struct([("offset", pa.int64()), ("size", pa.int64())])
SAMPLES = pa.schema(
    {"key": pa.string(), "json": pa.string(), "txt": pa.string(), "images": pa.list_(PLACE), "endings": pa.string()}
    | {"problem": pa.string()}
)
SAMPLES_AT_ONCE = 4096
Shard = TypeVar("Shard", Path, str)
LONGEST_NOTE, PIECE = 80, 1 << 16  # characters; bytes


class ShardSource(FileSource):
    """Shards given by a folder or a pattern of braces and wild cards; ``argument`` is the part of the SPEC after the colon.

    Shards called ``train-000000.tar``, ``val-...`` and ``test-...`` are splits; shards of other names form one split.
    """

    def __init__(self, argument: str):
        self.files: Mapping[str, tuple[Path, ...]] = shards_by_split(argument)
        self.one_split = not set(self.files) & set(SPLITS)

    def columns(self, split: str, needed: Collection[str] = ()) -> tuple[str, ...]:
        """Columns of the layout, and keys of the first samples, or of more until the ``needed`` ones have occurred."""
        names = dict.fromkeys([Columns.id, Columns.image, Columns.caption])
        samples = (cell for file in self.files[split] for cell in shard_index(file).column("json"))
        for number, sample in enumerate(samples):
            if number >= JSON_ROWS_FOR_NAMES and names.keys() >= set(needed):
                break
            names |= dict.fromkeys(_object(sample.as_py()))
        return tuple(names)

    def load(self, split: str, tags: Sequence[str], columns: Columns) -> functools.partial:
        """Picklable function that loads the products of a split, their photos as locations in the shards."""
        needed = columns.needed(tags)
        require_columns(self.files[split][0], self.columns(split, needed), needed)
        return functools.partial(load_shards, self.files[split], tuple(tags), columns)

    def images(self, split: str, columns: Columns) -> "TarImages":
        """Inside the shards."""
        return TarImages(self.files[split])


@dataclass(frozen=True)
class TarImages(ImageStore):
    """Photos at known offsets in tar files."""

    files: tuple[Path, ...]

    def known_good(self, entry: dict[str, Any]) -> bool:
        """Tells whether the photo was decoded when its shard arrived."""
        return entry["offset"] in _good_places(self.files[entry["shard"]])

    def read(self, entry: dict[str, Any]) -> bytes:
        file, offset, size = self.files[entry["shard"]], entry["offset"], entry["size"]
        where = f"{file}, byte {offset:,}"
        try:
            opened = _opened(file)  # referenced by name: closed once nobody uses it
            contents = os.pread(opened.fileno(), size, offset)
        except FileNotFoundError:
            raise MissingImage(where, "there is no such file") from None
        except OSError as error:
            raise UnreadableImage(where, f"it cannot be read ({error.strerror})") from error
        if len(contents) < size:
            raise BadImage(where, "the shard ends within it")
        return contents


@functools.lru_cache(maxsize=128)  # an open file each; evicted ones are closed
def _opened(file: Path) -> BinaryIO:
    return file.open("rb", buffering=0)  # positions are given with each read, so processes and threads may share it


class RemoteShards(Mapping[str, tuple[Path, ...]]):
    """Copies of remote shards by split; those of a split are fetched when it is first asked for."""

    def __init__(self, addresses: Mapping[str, tuple[str, ...]]):
        self._addresses = addresses

    def __getitem__(self, split: str) -> tuple[Path, ...]:
        return fetched(self._addresses[split], then=decode_once)

    def __iter__(self) -> Iterator[str]:
        return iter(self._addresses)

    def __len__(self) -> int:
        return len(self._addresses)


def shards_by_split(argument: str) -> Mapping[str, tuple[Path, ...]]:
    """Maps each split to its shards, in order."""
    if is_remote(argument):
        return RemoteShards(_by_split(argument, _addresses(argument), name_of))
    return _by_split(argument, _files(argument), lambda file: file.name)


def _by_split(argument: str, shards: Sequence[Shard], name_of: Callable[[Shard], str]) -> dict[str, tuple[Shard, ...]]:
    found: dict[str, list[Shard]] = {}
    for shard in shards:
        name = SHARD.sub("", PurePosixPath(name_of(shard)).stem).lower()
        found.setdefault(OTHER_NAMES.get(name, name), []).append(shard)
    if not set(found) & set(SPLITS):
        return {"shards": tuple(shards)}
    if odd := sorted(set(found) - set(SPLITS)):
        name = name_of(found[odd[0]][0])
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


def load_shards(files: Sequence[Path], tags: Sequence[str], columns: Columns) -> pa.Table:
    """Loads all samples of some shards as a normalised table, mapped from the cache, photos as (shard, offset, size)."""
    path = cache.cache_folder() / "shards" / f"{cache.key(FORMAT, cache.file_stamps(files), tags, columns)}.arrow"
    return cache.mapped_table(path, lambda: _normalised(files, tags, columns))


def _normalised(files: Sequence[Path], tags: Sequence[str], columns: Columns) -> Iterator[pa.Table]:
    with ThreadPoolExecutor(os.cpu_count()) as pool:  # waits for disks, not for the processor
        for number, samples in enumerate(pool.map(shard_index, files)):
            samples = samples.append_column(MALFORMED, _malformed(samples))
            for start in range(0, max(1, len(samples)), SAMPLES_AT_ONCE):
                part = samples.slice(start, SAMPLES_AT_ONCE)
                yield _texts(part, tags, columns, str(files[number])).append_column("images", _places(part, number))


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


def _problem(texts: Mapping[str, str]) -> str | None:
    """Cause and detail, joined by a colon, of texts (ending -> content) that cannot be read."""
    for kind, text in texts.items():
        if byte := foreign_byte(text):
            return f"damaged sample: its {kind} is not in UTF-8 (byte {byte})"
    try:
        found = loads_once(texts.get("json") or "{}")
    except RepeatedKey as error:
        return f"damaged sample: its json names {printable(str(error))!r} twice"
    except (ValueError, RecursionError) as error:
        return f"damaged sample: its json cannot be read ({in_short(error)})"
    return None if isinstance(found, dict) else "damaged sample: its json holds no object"


def _places(samples: pa.Table, shard: int) -> pa.ListArray:
    lists = samples.column("images").combine_chunks()
    lists = lists.chunk(0) if isinstance(lists, pa.ChunkedArray) else lists
    places = lists.flatten()
    number = pa.array(np.full(len(places), shard, np.int32))
    entries = pa.StructArray.from_arrays([number, *places.flatten()], names=["shard", "offset", "size"])
    counts = np.asarray(lists.value_lengths())
    return pa.ListArray.from_arrays(pa.array(np.concatenate([[0], counts.cumsum()]), pa.int32()), entries)


def shard_index(file: Path) -> pa.Table:
    """Indexes a shard (`SAMPLES`), cached until the file changes."""
    path = cache.cache_folder() / "shards" / f"{cache.key(FORMAT, cache.file_stamps([file]))}.arrow"
    return cache.mapped_table(path, lambda: _sample_tables(file))


def decode_once(file: Path) -> None:
    """Indexes a shard and decodes its photos, in one of several processes; a catalogue's check leaves out those found good."""
    verdict, images, good = _verdict_on(file), TarImages((file,)), []
    with LockFile(verdict.with_name(f"{verdict.name}.lock")).held():
        if verdict.exists():
            return
        for place in shard_index(file).column("images").combine_chunks().flatten().to_pylist():
            with contextlib.suppress(BadImage):
                check_image(images.read({"shard": 0, **place}))
                good.append(place["offset"])
        with atomic_path(verdict, cache=True) as temporary:
            temporary.write_text(json.dumps(good))


@functools.lru_cache(maxsize=128)
def _good_places(file: Path) -> frozenset[int]:
    """Places of the photos of a shard that were decoded; none if nobody has decoded them all."""
    try:
        return frozenset(json.loads(_verdict_on(file).read_text()))
    except (OSError, ValueError):
        return frozenset()


def _verdict_on(file: Path) -> Path:
    key = cache.key(FORMAT, cache.file_stamps([file]), *reading_rules())
    return cache.cache_folder() / "checks" / f"shard-{key}.json"


def _sample_tables(file: Path) -> Iterator[pa.Table]:
    samples = _samples(file)
    part = list(itertools.islice(samples, SAMPLES_AT_ONCE))
    yield pa.Table.from_pylist(part, SAMPLES)  # also of an empty shard
    while part := list(itertools.islice(samples, SAMPLES_AT_ONCE)):
        yield pa.Table.from_pylist(part, SAMPLES)


def _samples(file: Path) -> Iterator[dict[str, Any]]:
    for key, members in itertools.groupby(_members(file), key=lambda member: member.key):
        yield from _samples_of(key, list(members))


def _samples_of(key: str, members: Sequence["Member"]) -> Iterator[dict[str, Any]]:
    """Splits files with one name up to the first dot into samples: one, or one per text with a photo of its name."""
    texts: dict[str, dict[str, str]] = {}
    for member in members:
        if member.text is not None:
            texts.setdefault(member.stem, {})[member.kind] = member.text
    photos: dict[str, list[Member]] = {stem: [] for stem in ("", *texts)}
    for member in members:
        if member.kind in IMAGE_ENDINGS:
            photos[max((stem for stem in photos if member.ending.startswith(stem + "." if stem else "")), key=len)].append(
                member
            )
    kept = [stem for stem in photos if photos[stem] and stem in texts] or [""]
    for stem in kept:
        yield _sample(f"{key}.{stem}" if stem else key, texts.get(stem, {}), photos[stem], members)
    if "" not in kept and photos[""]:
        yield _sample(key, {}, photos[""], members)


def _sample(key: str, texts: dict[str, str], photos: Sequence["Member"], members: Sequence["Member"]) -> dict[str, Any]:
    places = [member.place for member in sorted(photos, key=lambda member: _natural(member.ending))]
    endings = None if texts and places else " ".join(dict.fromkeys(f".{member.ending}" for member in members))
    twice = Counter(member.ending for member in members).most_common(1)[0]
    problem = f"files named twice: .{twice[0]} occurs {twice[1]} times in the sample" if twice[1] > 1 else _problem(texts)
    usable = {} if problem else texts
    found = {"key": key, "json": usable.get("json"), "txt": usable.get("txt"), "images": places, "endings": endings}
    return found | {"problem": problem}


class Member(NamedTuple):
    """One file of a tar."""

    key: str  # folder and name up to the first dot
    ending: str  # the rest
    place: dict[str, int]
    text: str | None  # content of a text

    @property
    def stem(self) -> str:
        """Ending without its last part."""
        return self.ending.rpartition(".")[0]

    @property
    def kind(self) -> str:
        """Last part of the ending, in lower case."""
        return self.ending.rpartition(".")[2].lower()


def _members(file: Path) -> Iterator[Member]:
    """Yields the files of a tar in order, except those whose names begin with a dot."""
    try:
        with tarfile.open(file, "r:") as tar:
            for info in tar:
                tar.members = []  # type: ignore[attr-defined]  # it would keep all of them
                path = PurePosixPath(escaped(info.name))  # in any encoding
                name, _, ending = path.name.partition(".")
                if info.isfile() and name and not info.issparse():  # the bytes of a sparse file are not as they were
                    member = Member(str(path.parent / name), ending, {"offset": info.offset_data, "size": info.size}, None)
                    opened = tar.extractfile(info) if member.kind in TEXT_ENDINGS else None
                    yield member._replace(text=opened.read().decode("utf-8-sig", "surrogateescape")) if opened else member
            _require_end(file, tar.offset)
    except (tarfile.TarError, EOFError, OSError) as error:
        raise InputError(f"{file}: cannot be read as a tar file ({error}); it must be whole and not compressed") from error


def _require_end(file: Path, offset: int) -> None:
    """Raises unless an archive ends where its last file does: `tarfile` takes damage and a cut for the end."""
    with file.open("rb") as content:
        content.seek(offset)
        if content.read(tarfile.BLOCKSIZE) != tarfile.NUL * tarfile.BLOCKSIZE:
            raise InputError(
                f"{file}: cut or damaged at byte {offset:,}, where neither a file nor the end is; copy or pack it again"
            )
        if any(map(any, iter(functools.partial(content.read, PIECE), b""))):
            raise InputError(
                f"{file}: more follows its end at byte {offset:,}; join archives by tar --concatenate, not by cat"
            )


def _natural(ending: str) -> tuple[int, str]:
    """Sort key that puts ``jpg`` before ``1.jpg`` before ``10.jpg``."""
    number, dot, _ = ending.partition(".")
    return (int(number) if dot and number.isdecimal() else -1, ending)

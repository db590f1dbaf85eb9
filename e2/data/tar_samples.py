"""Samples of a tar shard in WebDataset's layout: files that follow one another with one name up to the first dot.

Names may contain dots if each sample has a text: ``size 2.5.jpg`` and ``size 2.5.txt`` are a sample of their own.
"""

import functools
import itertools
import tarfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import pyarrow as pa

from e2.data.cells import IMAGE_ENDINGS
from e2.data.dialect import foreign_byte
from e2.errors import InputError, escaped, in_short, printable
from e2.json_once import RepeatedKey, loads_once

TEXT_ENDINGS = ("json", "txt")
PLACE = pa.struct([("offset", pa.int64()), ("size", pa.int64())])
SAMPLES = pa.schema(
    {"key": pa.string(), "json": pa.string(), "txt": pa.string(), "images": pa.list_(PLACE), "endings": pa.string()}
    | {"problem": pa.string()}
)
SAMPLES_AT_ONCE = 4096
PIECE = 1 << 16  # bytes


def sample_tables(file: Path) -> Iterator[pa.Table]:
    """Yields the samples of a tar (`SAMPLES`) in order, at least one table.

    Raises:
        InputError: it cannot be read to its end.
    """
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

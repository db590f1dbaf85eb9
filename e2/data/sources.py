"""Opens ``--data SPEC`` for every command.

A new kind of source is one file with a class like those in `SOURCES`, and one line there.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import numpy as np
import pyarrow as pa

from e2.counting import counted
from e2.data import check
from e2.data.amazon.source import AmazonSource
from e2.data.boutique_source import BoutiqueSource
from e2.data.catalogue import ArrowCatalogue, ImageStore
from e2.data.columns import Columns, parse_tags
from e2.data.fashiongen import FashionGenSource
from e2.data.hub import HubSource
from e2.data.hub_stream import refuse_stream
from e2.data.kaggle import KaggleSource
from e2.data.remote import fetched, is_remote
from e2.data.room import GB
from e2.data.shards import ShardSource
from e2.data.shop.layout import LAYOUTS
from e2.data.shop.source import ShopSource, export_files
from e2.data.tables import FileSource, TableSource, are_text_tables
from e2.errors import InputError, MissingColumn
from e2.notes import say
from e2.outputs import restore


class Source(Protocol):
    """A data source: splits of rows that can be loaded as normalised tables."""

    @property
    def entities(self) -> tuple[str, ...]:
        """Default tags."""

    @property
    def one_split(self) -> bool:
        """True for a single file, which serves every split's name."""

    def splits(self) -> tuple[str, ...]:
        """Names of the splits, in display order."""

    def columns(self, split: str) -> tuple[str, ...]:
        """All columns of a split's rows."""

    def identity(self, split: str) -> list[object]:
        """JSON-able description that changes whenever the rows of the split may have."""

    def load(self, split: str, tags: Sequence[str], columns: Columns) -> Callable[[], pa.Table]:
        """Picklable function that loads the split's table in the form of `e2.data.columns.normalise`."""

    def images(self, split: str, columns: Columns) -> ImageStore:
        """Reader for the entries of the table's ``images`` cells."""


SOURCES: dict[str, Callable[[str], Source]] = {
    "boutique": BoutiqueSource,
    "products": KaggleSource,
    "fashiongen": FashionGenSource,
    "amazon-fashion": AmazonSource,
    "webdataset": ShardSource,
    "hf": HubSource,
    "hf-stream": refuse_stream,
}


def known_kinds() -> tuple[str, ...]:
    """Words that a SPEC may begin with, before its colon."""
    return (*SOURCES, *LAYOUTS)


def splits_of(spec: str) -> tuple[str, ...]:
    """Returns the splits of a data source; a single file is one split, named after the file.

    Raises:
        InputError: an unknown kind of SPEC, or nothing there.
    """
    return source_of(spec, Columns()).splits()


def open_catalogue(
    spec: str,
    split: str | None = None,
    *,
    tags: Sequence[str] | str | None = None,
    columns: Columns | None = None,
    on_bad_row: str = "error",
    progress: bool = True,
    most_photos: int | None = None,
    together: bool = False,
    absent_tags: bool = False,
    texts_needed: bool = True,
    shard_cache: float | None = None,
) -> ArrowCatalogue:
    """Opens one split of a data source; refuses or leaves out unusable rows.

    Every image is decoded once; the verdict is cached until the files change.

    Args:
        spec: ``boutique[:key=value,...]``, ``products:DIR``, ``fashiongen:DIR``, ``amazon-fashion:DIR``,
            ``webdataset:PATTERN``, ``hf:ORG/NAME[:CONFIG][@REVISION]``, ``shopify:FILE``, ``merchant:FILE``, or the path of a
            table or of a folder of tables, or a table's address.
        split: its name; optional if there is only one. A single file serves every name.
        tags: the entities to read, or a text as ``--tags`` takes it (``brand,colour=baseColour``, ``FILE.yaml``): its columns
            and rules come before those of ``columns``. None: the source's defaults (tables: none).
        columns: the table's columns of image, caption, id and each tag.
        on_bad_row: ``error`` raises, ``skip`` leaves unusable rows out and counts them in ``bad_rows``.
        progress: show a bar while images are checked, and say what was skipped (on stderr).
        most_photos: decode the images of only this many rows, the first ones, for a quick look; None: of all.
        together: every process of a training opens it and decodes its part of the images.
        absent_tags: leave out entities without a column there, instead of refusing them.
        texts_needed: rows without a description are unusable; otherwise they are products whose description is empty.
        shard_cache: GB that the copies of remote tar shards may take in the cache, where those read longest ago are removed;
            None: all are kept.

    Raises:
        InputError: unknown SPEC, split or column, a damaged file, an empty split, or unusable rows.
    """
    check.require_policy(on_bad_row)
    columns = columns or Columns()
    if isinstance(tags, str):
        tags, rules = parse_tags(tags)
        columns = replace(columns, tags={**columns.tags, **rules})
    source = source_of(spec, columns, shard_cache)
    split = _choose_split(spec, source, split)
    tags = source.entities if tags is None else tuple(tags)
    if absent_tags:
        tags = tuple(tag for tag in tags if _has_column(source, split, tag, columns))
    catalogue = ArrowCatalogue(
        name=spec,
        split=split,
        tags=tags,
        load=source.load(split, tags, columns),
        images=source.images(split, columns),
        columns=source.columns(split),
    )
    if progress and isinstance(source, FileSource):
        for line in source.remarks(split):
            say(line)
    identity = [*source.identity(split), *columns.identity()]
    leave_out_bad_rows(catalogue, identity, on_bad_row, progress, most_photos, together, texts_needed)
    return catalogue


def source_of(spec: str, columns: Columns, shard_cache: float | None = None) -> Source:
    """Data source that a SPEC names."""
    kind, colon, argument = spec.partition(":")
    restore(Path(argument if kind in known_kinds() else spec))
    if kind == "hf" and are_text_tables(Path(argument).expanduser()):  # `datasets` would guess types: 007 becomes 7
        return TableSource(Path(argument).expanduser(), columns)
    if kind == "webdataset" and shard_cache is not None:
        return ShardSource(argument, round(shard_cache * GB))
    if kind in SOURCES:
        return SOURCES[kind](argument)
    if kind in LAYOUTS:
        return ShopSource(export_files(spec), kind, columns)
    path = fetched(spec) if is_remote(spec) else Path(spec).expanduser()
    if path.exists():
        return TableSource(path, columns)
    if colon and kind.replace("-", "").isalnum() and len(kind) > 1:  # one letter: a drive
        raise InputError(f"{spec}: unknown kind of data {kind!r}; there are {', '.join(known_kinds())} and paths")
    raise InputError(f"{spec}: there is no such file or folder; name a table, or one of {', '.join(known_kinds())}")


def _has_column(source: Source, split: str, tag: str, columns: Columns) -> bool:
    try:
        source.load(split, [tag], columns)
    except MissingColumn:
        return False
    return True


def _choose_split(spec: str, source: Source, split: str | None) -> str:
    splits = source.splits()
    if len(splits) == 1 and (split is None or source.one_split):
        return splits[0]
    if split in splits:
        return split
    asked = "several splits" if split is None else f"no split {split!r}"
    raise InputError(f"{spec}: {asked}; choose --split from {', '.join(splits)}")


def leave_out_bad_rows(
    catalogue: ArrowCatalogue,
    identity: list[object] | None,
    on_bad_row: str,
    progress: bool = True,
    most_photos: int | None = None,
    together: bool = False,
    texts_needed: bool = True,
) -> None:
    """Leaves out and counts the unusable rows of a catalogue, and reports them with ``progress``; ``error`` raises instead.

    A row some of whose photos are good is kept without the others, which are counted in the notes.

    ``identity``, JSON-able, changes whenever the images may have; None: the verdicts on them are not cached.
    """
    table, where = catalogue.table, f"{catalogue.name}, split {catalogue.split}"
    bad_rows = check.find_bad_rows(table, catalogue.images, identity, progress, most_photos, together, texts_needed)
    if bad_rows and on_bad_row == "error":
        raise check.complain(where, table, bad_rows)
    bad_rows, without = check.only_photos(bad_rows)
    catalogue.lost = check.photos_left_out(without)
    lines = []
    if bad_rows:
        catalogue.bad_rows = check.count_causes(bad_rows)
        catalogue.rows = np.setdiff1d(np.arange(table.num_rows), [found.row for found in bad_rows])
        counts = check.describe(catalogue.bad_rows)
        lines = [f"left out {len(bad_rows):,} of {counted(table.num_rows, 'row')}: {counts}", *check.hints(bad_rows)]
    if not len(catalogue):
        empty = InputError(f"{where}: there are no products; name another split or file")
        raise check.complain(where, table, bad_rows, skip=True) if bad_rows else empty
    catalogue.notes = check.count_notes(table, catalogue.rows, without)
    for line in [*lines, *check.tell_notes(catalogue.notes)] if progress else ():
        say(f"{where}: {line}")

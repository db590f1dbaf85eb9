"""Catalogues that are tables: one file, or a folder with a file or shards for each split."""

import functools
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa

from e2.data import cache, read
from e2.data.catalogue import FilesAndBytes
from e2.data.columns import REGIONS, Columns, normalise, printable
from e2.errors import InputError

IN_MEMORY_BYTES = 2 << 30  # larger catalogues keep their images in a memory-mapped copy
SPLITS = ("train", "val", "test")
OTHER_NAMES = {"valid": "val", "validation": "val", "dev": "val"}
SHARD = re.compile(r"[-_.]\d+(-of-\d+)?$")


class TableSource:
    """A table file, which is one split whatever it is called, or a folder of them.

    In a folder a split is ``train.parquet``, shards like ``train-00000-of-00004.parquet``, or a folder ``train/``
    of files; also all of these inside ``data/`` (as the Hugging Face hub lays them out). Endings: parquet, csv, tsv,
    jsonl. ``validation``, ``valid`` and ``dev`` are served as ``val``.
    """

    entities: tuple[str, ...] = ()  # a table doesn't tell which of its columns are tags

    def __init__(self, path: Path):
        self.one_split = path.is_file()
        self.root = path if path.is_dir() else path.parent
        self.files = _files_of_folder(path) if path.is_dir() else {path.stem: _one_file(path)}

    def splits(self) -> tuple[str, ...]:
        """The splits there are, train, val and test first."""
        return tuple(sorted(self.files, key=lambda split: (*SPLITS, split).index(split)))

    def columns(self, split: str) -> tuple[str, ...]:
        """All columns of a split's first file."""
        return tuple(read.column_names(self.files[split][0]))

    def identity(self, split: str) -> list[object]:
        """Changes when a file does."""
        return list(cache.file_stamps(self.files[split]))

    def load(self, split: str, tags: Sequence[str], columns: Columns) -> functools.partial:
        """The picklable recipe that gives the normalised table of a split.

        Raises:
            InputError: a file lacks a column that is needed.
        """
        for file in self.files[split]:
            require_columns(file, read.column_names(file), columns.needed(tags))
        return functools.partial(load_table, self.files[split], tuple(tags), columns)

    def images(self, split: str, columns: Columns) -> FilesAndBytes:
        """Inside the table, or files beside it."""
        return FilesAndBytes(self.root)


def require_columns(file: Path, present: Sequence[str], needed: dict[str, str]) -> None:
    """Raises an `InputError` that lists the columns there are, unless all ``needed`` (column -> option) are there once."""
    for column, option in needed.items():
        if present.count(column) > 1:
            raise InputError(f"{file}: the column {column!r} stands twice in it; rename one of them")
        if column not in present:
            there = printable(", ".join(present)) or "none"
            raise InputError(f"{file}: no column {column!r}; it has {there}; name the right one by {option}")


def load_table(files: Sequence[Path], tags: Sequence[str], columns: Columns) -> pa.Table:
    """Reads the files of a split, in order, into one normalised table: in memory, or, of big files, the texts only."""
    wanted = [*columns.needed(tags), REGIONS]
    small = sum(file.stat().st_size for file in files) <= IN_MEMORY_BYTES
    if not small:
        wanted.remove(columns.image)
    tables = list(_normalised(files, wanted, tags, columns))
    if not tables:
        raise InputError(f"{files[0]}: there are no rows; name a table with products")
    table = pa.concat_tables(tables, promote_options="default")  # "regions" may be in some shards only
    return table if small else table.append_column("images", _mapped_images(files, columns).column("images"))


def _normalised(files: Sequence[Path], wanted: Sequence[str], tags: Sequence[str], columns: Columns) -> Iterator[pa.Table]:
    for file in files:
        present = read.column_names(file)
        for batch in read.read_batches(file, [column for column in dict.fromkeys(wanted) if column in present]):
            yield normalise(batch, tags, columns, str(file))


def _mapped_images(files: Sequence[Path], columns: Columns) -> pa.Table:
    """The images as an Arrow file in the cache, that the operating system pages in as they are used."""
    path = cache.cache_folder() / "images" / f"{cache.key(cache.file_stamps(files), columns.image)}.arrow"
    return cache.mapped_table(path, lambda: _normalised(files, [columns.image], (), columns))


def _one_file(path: Path) -> tuple[Path, ...]:
    if path.suffix not in read.FORMATS:
        raise InputError(f"{path}: not a table; the ending must be one of {' '.join(read.FORMATS)}")
    return (path,)


def _files_of_folder(folder: Path) -> dict[str, tuple[Path, ...]]:
    for base in (folder, folder / "data"):
        found: dict[str, list[Path]] = {}
        for path in sorted(base.iterdir()) if base.is_dir() else ():
            name = SHARD.sub("", path.stem if path.is_file() else path.name).lower()
            split = OTHER_NAMES.get(name, name)
            if split in SPLITS:
                inside = sorted(path.iterdir()) if path.is_dir() else [path]
                found.setdefault(split, []).extend(file for file in inside if file.suffix in read.FORMATS)
        if any(found.values()):
            return {split: _alike(split, files) for split, files in found.items() if files}
    kaggle = f"; for the Kaggle layout write products:{folder}" if (folder / "styles.csv").exists() else ""
    raise InputError(f"{folder}: no table in it; expected train/val/test with one of {' '.join(read.FORMATS)}{kaggle}")


def _alike(split: str, files: list[Path]) -> tuple[Path, ...]:
    if len(files) > 1 and len({(file.parent, file.suffix, bool(SHARD.search(file.stem))) for file in files}) > 1:
        names = " and ".join(file.name for file in files[:2])
        raise InputError(f"{files[0].parent}: {names} both claim the split {split}; keep one of them")
    return tuple(files)

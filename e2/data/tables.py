"""Catalogues in tables: one file, or a folder with a file or shards for each split."""

import functools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import pyarrow as pa

from e2.counting import counted
from e2.data import cache, read
from e2.data.canonical import ids_of_texts
from e2.data.catalogue import FilesAndBytes
from e2.data.columns import REGIONS, Columns, normalise
from e2.errors import InputError, MissingColumn, printable

FORMAT = 4  # version of the cache; counts up whenever the same files give other rows
PASSING = "._~"  # begin the names of files that other programs leave
LONGEST_LIST = 500  # characters of the names of columns in a message
IN_MEMORY_BYTES = 2 << 30  # larger catalogues keep their images in a memory-mapped copy
SPLITS = ("train", "val", "test")
FURTHER_PHOTOS = "additional_image_link"  # in the feeds of Google's Merchant Center
OTHER_NAMES = {"valid": "val", "validation": "val", "dev": "val"}
SHARD = re.compile(r"[-_.](\d+)(?:-of-(\d+))?$")  # number and, if told, count


def missing_shards(files: Sequence[Path]) -> str:
    """Says how many shards of a split are missing, as far as their names (``-00000-of-00004``) tell; empty if none is."""
    found = [match for file in files if (match := SHARD.search(read.stem_of(file).removesuffix(".tar"))) and match[2]]
    count, there = max((int(match[2]) for match in found), default=0), {int(match[1]) for match in found}
    lost = count - len(there)
    return f"{lost:,} of the {count:,} shards that {files[0].name} is one of are not read" if lost > 0 else ""


def in_order(splits: Iterable[str]) -> tuple[str, ...]:
    """Splits in the order in which they are shown: train, val and test first."""
    return tuple(sorted(splits, key=lambda split: (*SPLITS, split).index(split)))


class FileSource:
    """A source whose splits are files; its tables don't tell which of their columns are tags."""

    entities: tuple[str, ...] = ()
    files: Mapping[str, tuple[Path, ...]]

    def splits(self) -> tuple[str, ...]:
        return in_order(self.files)

    def identity(self, split: str) -> list[object]:
        return list(cache.file_stamps(self.files[split]))

    def remarks(self, split: str) -> list[str]:
        """Remarks for the user on how the files are read."""
        missing = missing_shards(self.files[split])
        return [f"{self.files[split][0].parent}: {missing}"] if missing else []


class TableSource(FileSource):
    """A table file, or the only one in a folder, which serves any split's name; or a folder of them.

    In a folder a split is ``train.parquet``, shards like ``train-00000-of-00004.parquet``, or a folder ``train/``
    of files; also all of these inside ``data/`` (as the Hugging Face hub lays them out). Endings: parquet, csv, tsv,
    jsonl, the texts also with .gz. ``validation``, ``valid`` and ``dev`` are served as ``val``.
    """

    def __init__(self, path: Path, columns: Columns | None = None):
        self.root = path if path.is_dir() else path.parent
        self.files = _files_of_folder(path) if path.is_dir() else {read.stem_of(path): _one_file(path)}
        self.one_split = not self.files.keys() & set(SPLITS) or path.is_file()
        self._columns = columns or Columns()

    def columns(self, split: str) -> tuple[str, ...]:
        """All columns of a split's first file."""
        return tuple(read.column_names(self.files[split][0], self._columns))

    def remarks(self, split: str) -> list[str]:
        """Remarks for the user: dialects that the file's ending does not imply, files and photos left unread."""
        found: dict[str, Path] = {}
        for file in self.files[split]:
            if read.format_of(file) != ".parquet":
                found.setdefault(read.dialect(file, self._columns).detected, file)
        lines = [f"{file}: read {words} (--delimiter and --encoding say otherwise)" for words, file in found.items() if words]
        lines += super().remarks(split)
        if split == self.splits()[0] and (others := self._other_tables()):
            lines.append(f"{self.root}: not read, as they are named after no split: {_named(others)}")
        if self._columns.image != FURTHER_PHOTOS and (unread := sum(map(self._further_photos, self.files[split]))):
            advice = "`e2 data import merchant:FILE` takes them"
            rows = f"{counted(unread, 'row')} {'has' if unread == 1 else 'have'}"
            lines.append(f"{self.root}: {rows} further photos in {FURTHER_PHOTOS}, which are not used; {advice}")
        return lines

    def _other_tables(self) -> list[Path]:
        """Tables in a folder of splits that belong to none of them."""
        known = {file for files in self.files.values() for file in files}
        there = () if self.one_split else sorted(self.root.iterdir())
        return [file for file in there if read.format_of(file) and file not in known and file.name[0] not in PASSING]

    def _further_photos(self, file: Path) -> int:
        """Counts rows with photos in the column in which shop feeds keep further ones."""
        if FURTHER_PHOTOS not in read.column_names(file, self._columns):
            return 0
        batches = read.read_batches(file, [FURTHER_PHOTOS], self._columns)
        return sum(len(cell or "") > 0 for batch in batches for cell in batch.column(FURTHER_PHOTOS).to_pylist())

    def load(self, split: str, tags: Sequence[str], columns: Columns) -> functools.partial:
        needed, keys = columns.needed(tags), dict[str, None]()
        for file in self.files[split]:
            names = read.column_names(file, columns, needed)
            if read.format_of(file) == ".jsonl":  # rows differ in their keys, and so may the files
                keys |= dict.fromkeys(names)
            else:
                require_columns(file, names, needed)
        if keys:
            require_columns(self.files[split][0], list(keys), needed)
        return functools.partial(load_table, self.files[split], tuple(tags), columns)

    def images(self, split: str, columns: Columns) -> FilesAndBytes:
        """Inside the table, or files beside it."""
        return FilesAndBytes(self.root)


def are_text_tables(path: Path) -> bool:
    """True if a file, or all files of a folder, are texts, which are untyped."""
    try:
        files = [path] if path.is_file() else [file for found in _files_of_folder(path).values() for file in found]
    except InputError:
        return False
    # metadata.csv: an image folder in the sense of `datasets`
    return all(read.format_of(file) in read.TEXTS and read.stem_of(file) != "metadata" for file in files)


def require_columns(file: Path, present: Sequence[str], needed: dict[str, str]) -> None:
    """Raises a `MissingColumn` that lists the columns, unless all ``needed`` (column -> option) occur exactly once."""
    for column, option in needed.items():
        if present.count(column) > 1:
            raise InputError(f"{file}: the column {column!r} occurs twice in it; rename one of them")
        if column not in present:
            there = printable(", ".join(present))[:LONGEST_LIST] or "none"
            if len(present) == 1 and read.format_of(file) in (".csv", ".tsv"):
                advice = "let the first line name the columns, and --delimiter what stands between them"
                raise MissingColumn(f"{file}: no column {column!r}; its header is one cell, {there}; {advice}")
            raise MissingColumn(f"{file}: no column {column!r}; it has {there}; name the right one by {option}")


def load_table(files: Sequence[Path], tags: Sequence[str], columns: Columns) -> pa.Table:
    """Reads a split's files, in order, into one normalised table: in memory or, if large, the texts only."""
    wanted = [*columns.needed(tags), REGIONS]
    small = sum(file.stat().st_size for file in files) <= IN_MEMORY_BYTES
    if not small:
        wanted.remove(columns.image)
    tables = list(_normalised(files, wanted, tags, columns))
    if not tables:
        raise InputError(f"{files[0]}: there are no rows; name a table with products")
    table = pa.concat_tables(tables, promote_options="default")  # "regions" may be in some shards only
    if not read.has_nulls(files[0]):
        place = table.schema.get_field_index("product_id")
        table = table.set_column(place, "product_id", ids_of_texts(table.column(place)))
    return table if small else table.append_column("images", _mapped_images(files, columns).column("images"))


def _normalised(files: Sequence[Path], wanted: Sequence[str], tags: Sequence[str], columns: Columns) -> Iterator[pa.Table]:
    for file in files:
        json = read.format_of(file) == ".jsonl"  # a key may come late, or never: null
        present = wanted if json else read.column_names(file, columns)
        for batch in read.read_batches(file, [name for name in dict.fromkeys(wanted) if name in present], columns):
            yield normalise(batch, tags, columns, str(file), read.has_nulls(file))


def _mapped_images(files: Sequence[Path], columns: Columns) -> pa.Table:
    """Copies the images to an Arrow file in the cache, which the operating system pages in on demand."""
    path = cache.cache_folder() / "images" / f"{cache.key(FORMAT, cache.file_stamps(files), columns.identity())}.arrow"
    return cache.mapped_table(path, lambda: _normalised(files, [columns.image], (), columns))


def _one_file(path: Path) -> tuple[Path, ...]:
    if read.format_of(path) is None:
        raise InputError(f"{path}: not a table; the ending must be one of {' '.join(read.FORMATS)}, texts also with .gz")
    return (path,)


def _files_of_folder(folder: Path) -> dict[str, tuple[Path, ...]]:
    for base in (folder, folder / "data"):
        found: dict[str, list[Path]] = {}
        for path in sorted(base.iterdir()) if base.is_dir() else ():
            name = SHARD.sub("", read.stem_of(path)).lower()
            split = OTHER_NAMES.get(name, name)
            if split in SPLITS:
                inside = sorted(path.iterdir()) if path.is_dir() else [path]
                found.setdefault(split, []).extend(file for file in inside if read.format_of(file))
        if any(found.values()):
            return {split: _alike(split, files) for split, files in found.items() if files}
    tables = [path for path in (sorted(folder.iterdir()) if folder.is_dir() else ()) if read.format_of(path)]
    if len(tables) == 1 and tables[0].name != "styles.csv":
        return {read.stem_of(tables[0]): (tables[0],)}
    kaggle = f"; for the Kaggle layout write products:{folder}" if (folder / "styles.csv").exists() else ""
    there = f"no table that a split is named after ({_named(tables)})" if tables else "no table in it"
    raise InputError(f"{folder}: {there}; expected train/val/test with one of {' '.join(read.FORMATS)}{kaggle}")


def _named(files: Sequence[Path]) -> str:
    return ", ".join(printable(file.name) for file in files[:3]) + (", ..." if len(files) > 3 else "")


def _alike(split: str, files: list[Path]) -> tuple[Path, ...]:
    kinds = {(file.parent, read.format_of(file), bool(SHARD.search(read.stem_of(file)))) for file in files}
    if len(files) > 1 and len(kinds) > 1:
        names = " and ".join(file.name for file in files[:2])
        raise InputError(f"{files[0].parent}: {names} both claim the split {split}; keep one of them")
    return tuple(files)

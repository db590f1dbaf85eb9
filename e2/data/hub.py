"""``hf:ORG/NAME[:CONFIG][@REVISION]`` or ``hf:PATH``: a Hugging Face data set, read by the package ``datasets``.

A PATH is a table, a folder that ``load_dataset`` understands, or one that ``save_to_disk`` wrote. Texts are read when the
catalogue is opened, photos on demand from ``datasets``' memory-mapped files.
"""

import functools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from e2.data import cache
from e2.data.catalogue import FilesAndBytes, ImageStore
from e2.data.columns import REGIONS, Columns, image_places, images, normalise
from e2.data.images import UnreadableImage
from e2.data.read import TEXTS
from e2.data.tables import OTHER_NAMES, are_text_tables, in_order, require_columns
from e2.errors import InputError, in_short
from e2.extras import extra

NAME = re.compile(r"(?P<name>[\w.-]+(/[\w.-]+)?)(:(?P<config>[^@]+))?(@(?P<revision>.+))?")
BUILDERS = {".parquet": "parquet", ".json": "json"}  # text tables are read by `TableSource`
ROWS_AT_ONCE = 4096


class HubSource:
    """A Hugging Face data set; ``argument`` is the part of the SPEC after the colon."""

    entities: tuple[str, ...] = ()  # a data set doesn't tell which of its columns are tags

    def __init__(self, argument: str):
        self.argument = argument
        self.names = split_names(opened(argument))
        self.one_split = Path(argument).expanduser().is_file()

    def splits(self) -> tuple[str, ...]:
        return tuple(self.names)

    def columns(self, split: str) -> tuple[str, ...]:
        return tuple(self._rows(split).column_names)

    def identity(self, split: str) -> list[object]:
        """Identity that changes with the data set's own files."""
        files = [Path(part["filename"]) for part in self._rows(split).cache_files]
        return [self.argument, split, *cache.file_stamps(files)]

    def load(self, split: str, tags: Sequence[str], columns: Columns) -> functools.partial:
        """Picklable function that loads the products of a split, their photos as locations in the data set."""
        require_columns(Path(f"hf:{self.argument}"), self.columns(split), columns.needed(tags))
        return functools.partial(load_split, self.argument, self.names[split], tuple(tags), columns)

    def images(self, split: str, columns: Columns) -> "HubImages":
        """Inside the data set, or files that it names."""
        return HubImages(self.argument, self.names[split], columns.image)

    def _rows(self, split: str) -> Any:
        return opened(self.argument)[self.names[split]]


@dataclass(frozen=True)
class HubImages(ImageStore):
    """Photos in a data set's column; changes in files that it names by path go unnoticed."""

    argument: str
    split: str
    column: str

    def read(self, entry: dict[str, Any]) -> bytes | Path:
        try:
            cells = _column(self.argument, self.split, self.column)[entry["row"]].column(self.column).combine_chunks()
        except (pa.ArrowException, OSError) as error:
            raise UnreadableImage(f"hf:{self.argument}, row {entry['row'] + 1:,}", "it cannot be read") from error
        return FilesAndBytes(folder_of(self.argument)).read(images(cells)[0][entry["place"]].as_py())


@functools.lru_cache(maxsize=8)
def _column(argument: str, split: str, column: str) -> Any:
    return opened(argument)[split].select_columns([column]).with_format("arrow")


def load_split(argument: str, split: str, tags: Sequence[str], columns: Columns) -> pa.Table:
    """Loads the rows of one split as a normalised table: texts in memory, photos as (row, index in the row)."""
    rows = opened(argument)[split]
    wanted = [name for name in dict.fromkeys([*columns.needed(tags), REGIONS]) if name in rows.column_names]
    parts, first_row = [], 0
    for batch in rows.select_columns(wanted).with_format("arrow").iter(batch_size=ROWS_AT_ONCE):
        cells = batch.column(columns.image).combine_chunks()
        texts = normalise(named_classes(batch.drop_columns([columns.image]), rows.features), tags, columns, f"hf:{argument}")
        parts.append(texts.append_column("images", image_places(cells, first_row)))
        first_row += len(batch)
    if not parts:
        raise InputError(f"hf:{argument}, split {split}: there are no rows; name another split")
    return pa.concat_tables(parts)


def named_classes(batch: pa.Table, features: Any) -> pa.Table:
    """Replaces class numbers, as ``datasets`` stores them, by names."""
    for column in batch.column_names:
        names = getattr(features[column], "names", None) if features else None
        if names is not None:
            numbers = pc.if_else(pc.greater_equal(batch.column(column), 0), batch.column(column), None)  # -1: unknown
            batch = batch.set_column(batch.column_names.index(column), column, pc.take(pa.array(names), numbers))
    return batch


def split_names(found: Any) -> dict[str, str]:
    """Maps our split names to the data set's; train, val and test first."""
    names = {OTHER_NAMES.get(str(name), str(name)): str(name) for name in found}
    return {split: names[split] for split in in_order(names)}


def folder_of(argument: str) -> Path:
    """Folder that image paths are relative to."""
    path = Path(argument).expanduser()
    return path if path.is_dir() else path.parent if path.is_file() else Path()


@functools.lru_cache(maxsize=2)
def opened(argument: str, streaming: bool = False) -> Any:
    """Opens the data set with ``datasets``: its own split names -> rows."""
    with extra("sources", "hf"):
        import datasets
    try:
        return _load(datasets, argument, streaming)
    except InputError:
        raise
    except Exception as error:  # datasets and the hub client raise many kinds; each means: not available
        advice = "check name, configuration and network, or load it once online"
        raise InputError(f"hf:{argument}: cannot be loaded ({in_short(error)}); {advice}") from error


def _load(datasets: Any, argument: str, streaming: bool) -> Any:
    path = Path(argument).expanduser()
    if path.is_file():
        if are_text_tables(path):
            raise InputError(f"hf-stream:{argument}: a table of texts needs no stream; write {argument}")
        if path.suffix not in BUILDERS:
            raise InputError(f"hf:{argument}: not a table; the ending must be one of {' '.join([*BUILDERS, *TEXTS])}")
        return datasets.load_dataset(BUILDERS[path.suffix], data_files=str(path), streaming=streaming)
    if (path / "dataset_dict.json").is_file() or (path / "state.json").is_file():
        found = datasets.load_from_disk(str(path))
        found = found if isinstance(found, dict) else {"train": found}
        return {name: rows.to_iterable_dataset() for name, rows in found.items()} if streaming else found
    if path.is_dir():
        return datasets.load_dataset(str(path), streaming=streaming)
    named = NAME.fullmatch(argument)
    if named is None:
        raise InputError(f"hf:{argument}: write hf:ORG/NAME, hf:ORG/NAME:CONFIG@REVISION, or a path that is there")
    return datasets.load_dataset(named["name"], named["config"], revision=named["revision"], streaming=streaming)

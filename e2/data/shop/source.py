"""``shopify:FILE`` and ``merchant:FILE``: the exports of shop systems, whose photos are local files."""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pyarrow as pa

from e2.data import cache, read
from e2.data.canonical import ids_of_texts
from e2.data.catalogue import FilesAndBytes
from e2.data.columns import MALFORMED, NOTES, Columns, normalise
from e2.data.entities.rules import decoded, encoded
from e2.data.shop.layout import IMAGE, LAYOUTS
from e2.data.shop.products import Export, require_field
from e2.errors import InputError

IN_MEMORY = 256 << 20  # bytes of products; more are kept in a file


class ShopSource:
    """Products of exports (split -> files), one split each; ``options`` are further fields of `Export`."""

    def __init__(
        self, files: Mapping[str, tuple[Path, ...]], layout: str, columns: Columns, *, one_split: bool = True, **options
    ):
        self.exports = {split: Export(some, layout, columns, **options) for split, some in files.items()}
        self.one_split, self.layout = one_split, LAYOUTS[layout]
        self.root = next(iter(files.values()))[0].parent

    @property
    def entities(self) -> tuple[str, ...]:
        """Fields that photos show, as far as the exports have them."""
        there = {name for export in self.exports.values() for name in export.fields()}
        return tuple(name for name in self.layout.tags if name in there)

    def splits(self) -> tuple[str, ...]:
        return tuple(self.exports)

    def columns(self, split: str) -> tuple[str, ...]:
        """Fields of which some product has a value."""
        return tuple(self.exports[split].fields())

    def identity(self, split: str) -> list[object]:
        return self.exports[split].identity()

    def load(self, split: str, tags: Sequence[str], columns: Columns) -> functools.partial:
        export = self.exports[split]
        ours = self.ours(columns)
        for entity in tags:
            require_field(ours.of_tag(entity), "--tags", export.products().schema.names, export.files[0])
        if ours.caption != Columns.caption:
            require_field(ours.caption, "--caption-column", export.products().schema.names, export.files[0])
        return functools.partial(load_export, export, tuple(tags), ours)

    def ours(self, columns: Columns) -> Columns:
        """Same columns under the names that products have here."""
        if self.layout is LAYOUTS["table"]:
            return replace(columns, id=Columns.id, image=Columns.image, caption=Columns.caption)
        resolved = {entity: self._our_column(column) for entity, column in columns.tags.items()}
        caption = columns.caption if columns.caption == Columns.caption else self.layout.name(columns.caption)
        return replace(columns, id=Columns.id, image=IMAGE, caption=caption or columns.caption, tags=resolved)

    def _our_column(self, column: str) -> str:
        """Our name of a field, or a rule that reads from it."""
        if rule := decoded(column):
            return encoded(rule.model_copy(update={"column": self.layout.name(rule.column) or rule.column}))
        return self.layout.name(column) or column

    def images(self, split: str, columns: Columns) -> FilesAndBytes:
        """Files beside the export, or photos inside it."""
        return FilesAndBytes(self.root)


def load_export(export: Export, tags: Sequence[str], columns: Columns) -> pa.Table:
    """Loads the products of an export as a normalised table; ``columns`` are under our names."""
    nulls = read.has_nulls(export.files[0])
    products = export.products()
    products = products.select([name for name in products.schema.names if name in (*columns.needed(tags), MALFORMED, NOTES)])
    # One piece after the other: all at once would be in memory several times
    pieces = (normalise(some, tags, columns, str(export.files[0]), nulls) for some in products.to_batches())
    table = pa.concat_tables(pieces) if products.nbytes < IN_MEMORY else cache.spooled_table(pieces)
    if nulls:
        return table
    place = table.schema.get_field_index("product_id")
    return table.set_column(place, "product_id", ids_of_texts(table.column(place)))


def export_files(spec: str) -> dict[str, tuple[Path, ...]]:
    """Split -> files of a SPEC such as ``shopify:FILE``; the files of a folder are one export in parts."""
    _, _, argument = spec.partition(":")
    path = Path(argument).expanduser()
    files = sorted(file for file in path.iterdir() if read.format_of(file)) if path.is_dir() else [path]
    if not argument or not files or not files[0].is_file():
        raise InputError(f"{spec}: there is no such file; name the file that the shop system wrote")
    return {split_name(files[0]): tuple(files)}


def split_name(file: Path) -> str:
    """Name of the split that a single file is."""
    return read.stem_of(file) if read.format_of(file) else file.name.removesuffix(".gz").rpartition(".")[0] or file.name

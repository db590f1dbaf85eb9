"""Products out of an export: fields under our names, HTML as text, rows of one product together, captions filled in."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from e2.data import cache
from e2.data.columns import IMAGE as IMAGE_TYPE
from e2.data.columns import MALFORMED, MISSING_WORDS, NOTE, NOTES, Columns
from e2.data.shop.feed import detail_names
from e2.data.shop.html_text import plain_text
from e2.data.shop.layout import DESCRIPTION, ID, IMAGE, LAYOUTS, OPTION, POSITION, TABLE, TITLE, Layout, guessed
from e2.data.shop.merging import Merged, merged
from e2.data.shop.options import NAMING, is_option, with_options
from e2.data.shop.rows import ExportRow, export_rows, field_names, kind_of_export
from e2.data.shop.template import Template
from e2.data.tables import FURTHER_PHOTOS
from e2.errors import InputError, MissingColumn, printable

FORMAT = 3  # version of the cache; counts up whenever the same files give other products
CAPTION = "caption"
MOST_PHOTOS = 20
ROWS_AT_ONCE = 1024


@dataclass(frozen=True)
class Export:
    """An export and how it is read."""

    files: tuple[Path, ...]
    layout: str = "table"
    columns: Columns = field(default_factory=Columns)  # of tables: the names of their columns
    group_by: str | None = None  # field that the rows of one product share; None: as the layout says
    caption: str | None = None  # template; None: the caption column, or else title and description
    most_photos: int = MOST_PHOTOS

    def identity(self) -> list[object]:
        """JSON-able description that changes whenever the products may have."""
        given = self.columns
        how = [self.layout, self.group_by, self.caption, self.most_photos, given.id, given.caption, given.encoding]
        return [*how, given.image, given.delimiter, *cache.file_stamps(self.files)]

    def products(self) -> pa.Table:
        """All products, in a memory-mapped table in the cache.

        Columns: ``product_id``, ``image`` (a list of struct of bytes and path), ``caption`` and each further field (lists of
        texts), and ``e2:malformed`` and ``e2:notes`` as in `e2.data.columns`.
        """
        name = f"{cache.key(FORMAT, self.identity())}.arrow"
        return cache.mapped_table(cache.cache_folder() / "exports" / name, self._tables)

    def fields(self) -> list[str]:
        """Further fields of which some product has a value."""
        table = self.products()
        further = (name for name in table.schema.names if name not in (ID, IMAGE, CAPTION, MALFORMED, NOTES))
        return [name for name in further if pc.any(pc.greater(pc.list_value_length(table[name]), 0)).as_py()]

    def remark(self) -> str:
        """Remark on columns that were guessed; empty if none was."""
        return plan_of(self).remark

    def _tables(self) -> Iterator[pa.Table]:
        plan = plan_of(self)
        names = [name for name in dict.fromkeys(plan.names.values()) if name not in (ID, IMAGE, CAPTION, POSITION)]
        schema = pa.schema(
            [(ID, pa.string()), (IMAGE, pa.list_(IMAGE_TYPE)), (CAPTION, pa.list_(pa.string()))]
            + [(name, pa.list_(pa.string())) for name in names]
            + [(MALFORMED, pa.string()), (NOTES, pa.list_(NOTE))]
        )
        rows = (_row(product, plan, names) for product in _merged(self, plan))
        some = list(islice(rows, ROWS_AT_ONCE))
        if not some:
            raise InputError(f"{self.files[0]}: there are no rows; name an export with products")
        while some:
            yield pa.Table.from_pylist(some, schema)
            some = list(islice(rows, ROWS_AT_ONCE))


@dataclass(frozen=True)
class Plan:
    """Plan for reading an export."""

    names: dict[str, str]  # field as the export spells it -> our name; others are not read
    key: str | None  # our name of the field that the rows of one product share
    caption: Template
    remark: str = ""  # on columns that were guessed
    own: str | None = None  # field of the ids, as the export spells it, for rows without a value of `key`


def plan_of(export: Export) -> Plan:
    """Plan by which an export is read."""
    return _plan_of_table(export) if export.layout == "table" else _plan_of_shop(export, LAYOUTS[export.layout])


def _plan_of_shop(export: Export, layout: Layout) -> Plan:
    given = _names_of_feed(export, layout) if kind_of_export(export.files[0]) == "xml" else _names(export)
    names = {name: ours for name in given if (ours := layout.name(name))}
    there = list(dict.fromkeys(names.values()))
    for needed in (ID, IMAGE, TITLE):
        if needed not in there:
            spelled = next(name for name, ours in layout.fields.items() if ours == needed)
            raise InputError(f"{export.files[0]}: no column {spelled!r}; it has {listed(given)}; name the shop's own export")
    resolve = {name.casefold(): ours for name, ours in [*layout.fields.items(), *names.items()]}
    key = ID if layout.by_id else None
    if export.group_by:
        key = resolve.get(export.group_by.casefold(), export.group_by)
        require_field(key, "--group-by", there, export.files[0])
    template = Template(export.caption or in_braces(name for name in (TITLE, DESCRIPTION) if name in there))
    return Plan(names, key, template.named(there, resolve))


def _plan_of_table(export: Export) -> Plan:
    columns, file, given = export.columns, export.files[0], _names(export)
    identifier = export.group_by or _role(given, columns.id, Columns.id, ID)
    require_field(identifier, "--group-by" if export.group_by else "--id-column", given, file)
    image = _role(given, columns.image, Columns.image, IMAGE)
    require_field(image, "--image-column", given, file)
    parts = [name for role in (TITLE, DESCRIPTION) if (name := guessed(given, role))]
    own = f"{{{columns.caption}}}"
    template = export.caption or (own if columns.caption in given or not parts else in_braces(parts))
    if template == own:
        require_field(columns.caption, "--caption-column", given, file)
    names = {name: str(TABLE.name(name)) for name in given if name not in (ID, IMAGE)} | {identifier: ID, image: IMAGE}
    if FURTHER_PHOTOS in given:
        names[FURTHER_PHOTOS] = IMAGE
    there = list(dict.fromkeys(names.values()))
    resolve = {name.casefold(): ours for name, ours in names.items()}
    remark = (
        ""
        if (identifier, image, template) == (columns.id, columns.image, own)
        else (f"{file}: ids from {identifier}, photos from {image}, captions from '{template}'")
    )
    plan = Plan(names, None, Template(template).named(there, resolve), remark)
    return replace(plan, key=ID, own=_role(given, columns.id, Columns.id, ID)) if export.group_by else plan


def _role(given: Sequence[str], named: str, default: str, role: str) -> str:
    """Field that the user names, or else the likeliest one."""
    return named if named in given or named != default else guessed(given, role) or named


def require_field(name: str, option: str, names: Sequence[str], file: Path) -> None:
    """Raises a `MissingColumn` that lists the fields unless ``name`` is one of them."""
    if name not in names:
        raise MissingColumn(f"{file}: no column {name!r}; it has {listed(names)}; name the right one by {option}")


def listed(names: Sequence[str]) -> str:
    """Lists names in a message."""
    return printable(", ".join(name.removeprefix(OPTION) for name in names))[:500] or "none"


def in_braces(names: Iterable[str]) -> str:
    """Template of some fields, one sentence each."""
    return ". ".join(f"{{{name}}}" for name in names)


def _names_of_feed(export: Export, layout: Layout) -> list[str]:
    """Fields that a feed in XML may have, and the details that its products name."""
    return [*layout.fields, *chain.from_iterable(detail_names(file) for file in export.files)]


def _names(export: Export) -> list[str]:
    """Fields of an export as it spells them, those that cells name among them."""
    given = dict.fromkeys(chain.from_iterable(field_names(file, export.columns) for file in export.files))
    naming = [name for name in given if NAMING.fullmatch(name.casefold())]
    rows = chain.from_iterable(export_rows(file, (), export.columns, naming) for file in export.files if naming)
    options = (option for row in rows for values in row.fields.values() for option in values)
    return list(given | dict.fromkeys(f"{OPTION}{option.casefold()}" for option in options))


def _merged(export: Export, plan: Plan) -> Iterator[Merged]:
    """Products in the order in which their last rows come."""
    named = _renamed(export, plan)
    counts: Counter[str] = Counter()
    if plan.key is not None:
        keys = [name for name, ours in plan.names.items() if ours == plan.key]
        keys += [plan.own] if plan.own else []
        for file in export.files:
            wanted = [name for name in _columns_to_read(file, export, plan) or () if name in keys]
            counts.update(filter(None, (_first(row.fields, *keys) for row in export_rows(file, (), export.columns, wanted))))
    return merged(named, lambda row: _first(row.fields, plan.key) if plan.key else None, counts, export.most_photos)


def _renamed(export: Export, plan: Plan) -> Iterator[ExportRow]:
    """Rows with our names, their texts without markup."""
    photos = [name for name, ours in plan.names.items() if ours == IMAGE]
    separators = LAYOUTS[export.layout].separators
    for file in export.files:
        rows = export_rows(file, photos, export.columns, _columns_to_read(file, export, plan))
        for row in with_options(rows, next((name for name, ours in plan.names.items() if ours == ID), "")):
            fields: dict[str, list[Any]] = {}
            for name, values in row.fields.items():
                if ours := plan.names.get(name):
                    fields.setdefault(ours, []).extend(values if ours in (ID, IMAGE) else _texts(values, separators.get(ours)))
            if plan.own and not _first(fields, ID):
                fields[ID] = row.fields.get(plan.own, [])
            yield ExportRow(fields, row.malformed)


def _columns_to_read(file: Path, export: Export, plan: Plan) -> list[str] | None:
    """Columns of a table that the plan needs; None for other files, which are read whole."""
    if kind_of_export(file) != "table":
        return None
    return [name for name in field_names(file, export.columns) if name in plan.names or name == plan.own or is_option(name)]


def _texts(values: Iterable[str], separator: str | None) -> list[str]:
    plain = map(plain_text, values)  # before they are split: </b> holds a slash
    split = (part.strip() for value in plain for part in (value.split(separator) if separator else [value]))
    return [part for part in split if part]


def _first(fields: dict[str, list[Any]], *names: str) -> str | None:
    found = next((value for name in names for value in fields.get(name, ())), None)
    return found.strip() or None if found is not None else None


def _row(product: Merged, plan: Plan, names: Sequence[str]) -> dict[str, Any]:
    fields = product.fields
    told = {
        name: [text for text in fields.get(name, ()) if text.casefold() not in MISSING_WORDS] for name in plan.caption.fields
    }
    if len(plan.caption.fields) == 1:
        captions = [plan.caption({name: text}) for name, texts in told.items() for text in texts]
    else:
        captions = [plan.caption({name: texts[0] for name, texts in told.items() if texts})]
    return {
        ID: _first(fields, ID),
        IMAGE: [{"bytes": photo.contents, "path": photo.address} for photo in fields.get(IMAGE, ())],
        CAPTION: [caption for caption in captions if caption],
        **{name: fields.get(name, []) for name in names},
        MALFORMED: product.malformed,
        NOTES: product.notes() or None,
    }

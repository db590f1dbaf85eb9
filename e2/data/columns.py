"""Normalises a table's columns to the few forms that a catalogue keeps.

A table may hold images as bytes, paths or structs of both (the Hugging Face convention), one or several per product, captions
likewise, and ids and tags of any scalar type. `normalise` turns them, column-wise, into

| column | type | meaning |
|---|---|---|
| `product_id` | string | null where missing |
| `images` | list of struct of bytes and path | empty where missing; bytes win over the path |
| `captions` | list of string | empty where missing |
| `tag:ENTITY` | string | null where missing; several values with bars between them (`e2.data.product.SEPARATOR`) |
| `regions` | string | JSON of entity -> box, null where unknown |
| `e2:malformed` | string | cause and detail, joined by a colon, of an unreadable row; else null |
| `e2:notes` | list of struct of what and value | notes on the row, e.g. a cell taken as missing |
"""

import functools
import html
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from e2.counting import counted
from e2.data import cells as cell
from e2.data.canonical import are_cut, strings
from e2.data.edges import among, among_words, edges, holds, trimmed
from e2.data.entities.rules import ENDINGS, EntityRule, decoded, encoded, read_rules
from e2.data.product import tag_of
from e2.errors import InputError, first_line, printable

IMAGE = pa.struct([("bytes", pa.large_binary()), ("path", pa.string())])
NOTE = pa.struct([("what", pa.string()), ("value", pa.string())])
# Words that spreadsheets and data frames write for "nothing", in any case
MISSING_WORDS = (
    *("#n/a", "n/a", "n.a.", "na", "null", "nan", "none", "<na>", "<null>", "(null)", "(none)", "undefined", "\\n"),
    *("-", "--", "---", "–", "—"),
    *("#null!", "#value!", "#ref!", "#name?", "#div/0!"),
)
CUT_ID = "id cut short by a spreadsheet (export the ids as texts)"
MOST_VALUES = 100  # of one tag that a product keeps
REGIONS, MALFORMED, NOTES = "regions", "e2:malformed", "e2:notes"
WORDS = r"[\p{L}\p{N}\p{So}]"  # letters, digits and pictures: a text needs some
LETTERS = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
MARKUP = re.compile(r"<[^>]*>")


@dataclass(frozen=True)
class Columns:
    """Describes how a table is read: names of its columns and, for text tables, what the ending does not tell."""

    image: str = "image"
    caption: str = "caption"
    id: str = "product_id"
    tags: Mapping[str, str] = field(default_factory=dict)  # entity -> column, or rule; not listed: named like the entity
    delimiter: str | None = None  # between the cells of csv and tsv; None: detected
    encoding: str | None = None  # of csv, tsv and jsonl; None: detected
    missing_values: tuple[str, ...] | None = None  # words for "nothing"; None: `MISSING_WORDS` if the format has no nulls

    def of_tag(self, entity: str) -> str:
        """Column that holds an entity."""
        rule = self.rule_of(entity)
        return self.tags.get(entity, entity) if rule is None else rule.column

    def rule_of(self, entity: str) -> EntityRule | None:
        """Rule by which an entity is read out of its column (``--tags FILE.yaml``); None: each value counts."""
        return decoded(self.tags.get(entity, entity))

    def needed(self, tags: Sequence[str]) -> dict[str, str]:
        """Column -> option that names it, for every required column."""
        named = {self.of_tag(entity): "--tags" for entity in tags}
        return named | {self.id: "--id-column", self.caption: "--caption-column", self.image: "--image-column"}

    def identity(self) -> list[object]:
        """JSON-able description of everything that decides which image belongs to which row."""
        return [self.image, self.delimiter, self.encoding, self.missing_values]


def parse_tags(text: str) -> tuple[tuple[str, ...], dict[str, str]]:
    """Parses ``--tags``: entities separated by commas, each with its column if named differently; or a file of rules.

    >>> parse_tags("brand,colour=baseColour")
    (('brand', 'colour'), {'brand': 'brand', 'colour': 'baseColour'})

    Raises:
        InputError: an empty name, an entity named twice, or a file that holds no rules (`e2.data.entities.rules`).
    """
    if text.strip().lower().endswith(ENDINGS):
        rules = {entity: encoded(rule) for entity, rule in read_rules(Path(text.strip()).expanduser()).items()}
        return tuple(rules), rules
    columns: dict[str, str] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        entity, equals, column = (piece.strip() for piece in part.partition("="))
        if not entity or (equals and not column):
            raise InputError(f"--tags {text!r}: {part!r} lacks a name; write ENTITY or ENTITY=COLUMN")
        if entity in columns:
            raise InputError(f"--tags {text!r}: {entity!r} occurs twice; name each entity once")
        columns[entity] = column or entity
    return tuple(columns), columns


class Notes:
    """Notes on the rows of a batch."""

    def __init__(self, count: int):
        self._of_row: list[list[dict[str, str]] | None] = [None] * count
        self.any = False

    def add(self, rows: Iterable[int], what: str, values: Iterable[str]) -> None:
        """Notes one value for each of the rows."""
        self.any = True
        for row, value in zip(rows, values, strict=True):
            self._of_row[row] = [*(self._of_row[row] or []), {"what": what, "value": value}]

    def drop(self, values: pa.Array, rows: np.ndarray, gone: np.ndarray, what: str) -> pa.Array:
        """Replaces strings that are ``gone`` by null, and notes them."""
        if not gone.any():
            return values
        self.add(rows[gone].tolist(), what, values.filter(pa.array(gone)).to_pylist())
        return pc.if_else(pa.array(gone), pa.scalar(None, pa.string()), values)

    def column(self) -> pa.Array:
        """Notes as a column, null for rows without any."""
        return pa.array(self._of_row, pa.list_(NOTE)) if self.any else pa.nulls(len(self._of_row), pa.list_(NOTE))


def normalise(
    batch: pa.RecordBatch | pa.Table, tags: Sequence[str], columns: Columns, where: str, nulls: bool = True
) -> pa.Table:
    """Turns rows as read into the catalogue's own columns (see the module's docstring).

    Columns not in ``batch`` are left out; required ones were checked before.

    Args:
        batch: the rows; may also have the columns ``e2:malformed`` and ``e2:notes``.
        tags: the entities.
        columns: names of the columns.
        where: names the file in messages.
        nulls: the format has a null of its own, so that an id or a tag "None" is an ordinary text.

    Raises:
        InputError: a column has an unsuitable type.
    """
    notes = Notes(batch.num_rows)
    given = NOTES in batch.schema.names and batch.column(NOTES).null_count < batch.num_rows
    for row, found in enumerate(batch.column(NOTES).to_pylist() if given else ()):
        for note in found or ():
            notes.add([row], note["what"], [note["value"]])
    words = columns.missing_values
    reader = _Texts(notes, words if words is not None else () if nulls else MISSING_WORDS)
    looser = _Texts(notes, words if words is not None else MISSING_WORDS)  # no photo is called "nan", no text says it
    make: dict[str, tuple[str, Callable[[pa.Array], pa.Array]]] = {
        "product_id": (columns.id, reader.ids),
        "captions": (columns.caption, looser.captions),
        "images": (columns.image, functools.partial(images, texts=looser)),
        REGIONS: (REGIONS, _regions),
    }
    for entity in tags:
        make[f"tag:{entity}"] = (
            columns.of_tag(entity),
            functools.partial(reader.tag, role=entity, rule=columns.rule_of(entity)),
        )
    done = {}
    for target, (column, convert) in make.items():
        if column not in batch.schema.names:
            continue
        cells = batch.column(column)
        cells = cells.combine_chunks() if isinstance(cells, pa.ChunkedArray) else cells
        try:
            done[target] = convert(cells)
        except (pa.ArrowException, TypeError) as error:
            role = target.removeprefix("tag:")
            # The type and the error contain untrusted field names
            reason = printable(f"({cells.type}) cannot be read as {role}: {first_line(error)}")
            raise InputError(f"{where}: column {column!r} {reason}") from error
    malformed = batch.column(MALFORMED) if MALFORMED in batch.schema.names else pa.nulls(batch.num_rows, pa.string())
    return pa.table({**done, MALFORMED: malformed, NOTES: notes.column()})


class _Texts:
    """Reads columns of texts, knowing the words that mean "nothing"; notes what it drops."""

    def __init__(self, notes: Notes, words: Sequence[str]):
        self.notes, self.words = notes, words

    def ids(self, cells: pa.Array) -> pa.Array:
        """Reads ids: texts verbatim, numbers as `canonical` strings, null for blanks and words that mean nothing."""
        values, rows = cell.flattened(cells)
        if not (cell.is_text(values.type) or cell.is_binary(values.type)):
            return _joined(self.known(strings(values), rows, "id"), rows, cells)
        values = values.cast(pa.string())
        if (cut := are_cut(values)).any():
            self.notes.add(rows[cut].tolist(), CUT_ID, values.filter(pa.array(cut)).to_pylist())
        known = self.known(trimmed(values), rows, "id").is_valid()
        values = values if pc.all(known).as_py() else pc.if_else(known, values, pa.scalar(None, pa.string()))
        return _joined(values, rows, cells)

    def tag(self, cells: pa.Array, role: str, rule: EntityRule | None) -> pa.Array:
        """Reads an entity as `canonical` strings, null for blanks and words that mean nothing.

        The values of a cell are those of a list, or those between bars; with a rule, those that it finds.
        """
        if rule is not None:
            cells = pa.array(map(rule.read, _listed(cells)), pa.list_(pa.string()))
        values, rows = cell.spread(*_all_values(cells), cell.between_bars, cell.may_hold_bars)
        values = self.checked(values, rows, role)
        if len(values) == len(cells) and not cell.is_list(cells.type):
            return values
        lists = cell.grouped(values, rows, values.is_valid(), len(cells)).to_pylist()
        return pa.array([self._tag(found, row, role) for row, found in enumerate(lists)], pa.string())

    def _tag(self, values: list[str], row: int, role: str) -> str | None:
        """Tag of a cell's values, each once and no more than `MOST_VALUES`; notes how many it had."""
        values = list(dict.fromkeys(values))
        if len(values) > MOST_VALUES:
            what = f"{role} values beyond the first {MOST_VALUES:,} of a product left out"
            self.notes.add([row], what, [counted(len(values), "value")])
        return tag_of(values[:MOST_VALUES]) or None

    def captions(self, cells: pa.Array) -> pa.ListArray:
        """Reads a column of one or several texts per row as lists, without those that hold no word."""
        values, rows = self.values(cells, "caption")
        values = self.notes.drop(values, rows, _wordless(values), "caption of markup alone")
        return cell.grouped(values, rows, values.is_valid(), len(cells))

    def values(self, cells: pa.Array, role: str) -> tuple[pa.Array, np.ndarray]:
        """Returns all values of a column and the row of each."""
        values, rows = _all_values(cells)
        return self.checked(values, rows, role), rows

    def checked(self, values: pa.Array, rows: np.ndarray, role: str) -> pa.Array:
        """Makes `canonical` strings of values, null for blanks, objects and words that mean nothing."""
        values = self.known(strings(values), rows, role)
        objects = among(edges(values)[0], b"{")
        for place in np.flatnonzero(objects):
            objects[place] = isinstance(cell.literal(values[place].as_py() or ""), dict)
        return self.notes.drop(values, rows, objects, f"{role} is an object, taken as missing")

    def known(self, values: pa.Array, rows: np.ndarray, role: str) -> pa.Array:
        """Drops words that mean nothing; if none is known, notes what looks like one."""
        odd = among_words(values, self.words or MISSING_WORDS)
        if self.words:
            return self.notes.drop(values, rows, odd, f"{role} taken as missing (--missing-values sets the words)")
        if odd.any():
            found = values.filter(pa.array(odd)).to_pylist()
            self.notes.add(rows[odd].tolist(), f"{role} kept though it may mean nothing (--missing-values drops it)", found)
        return values


def _regions(cells: pa.Array) -> pa.Array:
    """Column of boxes in JSON; one that holds anything else is the table's own, which uses the name differently."""
    return cells.cast(pa.string()) if cell.is_text(cells.type) else pa.nulls(len(cells), pa.string())


def _all_values(cells: pa.Array) -> tuple[pa.Array, np.ndarray]:
    """All values of a column, those of lists in texts too, and the row of each."""
    return cell.spread(*cell.flattened(cells), cell.values_in, cell.may_be_literals)


def _listed(cells: pa.Array) -> list[list[str]]:
    """Texts of each cell."""
    values, rows = _all_values(cells)
    values = strings(values)
    return cell.grouped(values, rows, values.is_valid(), len(cells)).to_pylist()


def _joined(values: pa.Array, rows: np.ndarray, cells: pa.Array) -> pa.Array:
    """Joins the values of each cell into one string."""
    if len(values) == len(cells) and not cell.is_list(cells.type):
        return values
    joined = pc.binary_join(cell.grouped(values, rows, values.is_valid(), len(cells)), ", ")
    return pc.if_else(pc.equal(joined, ""), pa.scalar(None, pa.string()), joined)


def _wordless(values: pa.Array) -> np.ndarray:
    """Mask of texts that hold only markup and punctuation, e.g. ``<br>``, ``&nbsp;`` or ``-``."""
    found = ~among(edges(values)[0], LETTERS) & np.asarray(values.is_valid())
    if holds(values, "<&"):
        found |= np.asarray(pc.fill_null(pc.match_substring_regex(values, "[<&]"), False))
    for test in (lambda texts: pc.replace_substring_regex(texts, r"<[^>]*>|&(?:amp;)?#?\w+;", ""), _unescaped):
        places = np.flatnonzero(found)
        if len(places):
            found[places] = ~np.asarray(pc.match_substring_regex(test(values.take(pa.array(places))), WORDS))
    return found


def _unescaped(texts: pa.Array) -> pa.Array:
    plain = (MARKUP.sub("", html.unescape(html.unescape(text))) for text in texts.to_pylist())  # &amp;nbsp; escapes twice
    return pa.array(plain, pa.string())


def images(cells: pa.Array, texts: _Texts | None = None) -> pa.ListArray:
    """Converts a column of one or several images per row (bytes, paths or structs of both) to lists of structs."""
    contents, paths, rows = _contents_and_paths(cells, texts)
    contents = contents.cast(pa.large_binary())
    present = pc.or_(contents.is_valid(), paths.is_valid())
    return cell.grouped(pa.StructArray.from_arrays([contents, paths], fields=list(IMAGE)), rows, present, len(cells))


def image_places(cells: pa.Array, first_row: int) -> pa.ListArray:
    """Converts the same images to lists of (row, index in what `images` gives for that row), without touching their bytes."""
    contents, paths, rows = _contents_and_paths(cells, None)
    present = pc.or_(contents.is_valid(), paths.is_valid())
    kept = rows[np.asarray(present)]
    places = np.arange(len(kept)) - np.searchsorted(kept, kept)  # rows ascend: count from the first of the same row
    values = pa.StructArray.from_arrays([pa.array(first_row + kept), pa.array(places)], names=["row", "place"])
    return cell.grouped(values, kept, pa.array(np.ones(len(kept), bool)), len(cells))


def _contents_and_paths(cells: pa.Array, texts: _Texts | None) -> tuple[pa.Array, pa.Array, np.ndarray]:
    """Bytes, path and row of each image of a column."""
    values, rows = cell.spread(*cell.flattened(cells), cell.paths_in, cell.may_be_paths)
    none = pa.nulls(len(values))
    if pa.types.is_struct(values.type):
        fields = dict(zip((part.name for part in values.type), values.flatten(), strict=True))
        path = next((name for name in cell.ADDRESSES if name in fields), None)
        if path is None and "bytes" not in fields:
            raise TypeError(f"no field is called bytes, {', '.join(cell.ADDRESSES)}")
        contents, paths = fields.get("bytes", none), fields[path] if path else none
    elif cell.is_binary(values.type):
        contents, paths = values, none
    else:
        contents, paths = none, values
    paths = trimmed(paths.cast(pa.string()))
    return contents, (texts or _Texts(Notes(len(cells)), MISSING_WORDS)).known(paths, rows, "image"), rows

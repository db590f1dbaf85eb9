"""Reads and writes files of captions.

Formats: JSON lines, JSON lists of rows (COCO results among them), COCO annotations, ``{"id": "caption"}`` in JSON, and CSV or
TSV tables, with ids in ``product_id``, ``image_id``, ``image`` or ``id``; in any encoding that is told apart, also compressed
by gzip; so the output of `e2 caption write` can be read. Ids are compared letter by letter: the number 42 of a COCO file is
the id ``42``, neither ``0042`` nor ``42.jpg``.
"""

import csv
import html
import io
import json
import re
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from e2.data.dialect import dialect_of, foreign_byte, open_text
from e2.errors import InputError, escaped, first_line, printable
from e2.json_once import RepeatedKey, loads_once

IDS = ("product_id", "image_id", "image", "id")
FORMS = "give JSON lines or a table with product_id and caption, COCO results, or JSON {id: caption}"
SHOWN = 3  # ids in a message


@dataclass
class CaptionFile:
    """Content of a file of captions."""

    path: Path
    # id -> caption; for a product with several photos (rows with an ``index``), the first photo's
    captions: dict[str, str] = field(default_factory=dict)
    # id -> why it has no caption (`e2 caption write` notes photos that cannot be read)
    failed: dict[str, str] = field(default_factory=dict)
    further: int = 0  # number of captions of further photos, which are left out

    @property
    def ids(self) -> list[str]:
        """Ids of captions and failures."""
        return [*self.captions, *self.failed]


def own_ids(ids: Sequence[str], wanted: str) -> str:
    """First of a file's own ids, for a message; says how ids are compared if one is nearly the wanted one.

    >>> own_ids(["42", "43"], "000042.jpg")
    '42, 43; ids are compared letter by letter, and 42 is not 000042.jpg, so write them as the catalogue does'
    """
    shown = ", ".join(printable(name) for name in ids[:SHOWN]) + (", ..." if len(ids) > SHOWN else "")
    near = next((name for name in ids if _bare(name) == _bare(wanted)), None)
    if near is None:
        return shown
    rule = f"ids are compared letter by letter, and {printable(near)} is not {printable(wanted)}"
    return f"{shown}; {rule}, so write them as the catalogue does"


def _bare(name: str) -> str:
    """An id without folder, file ending and leading zeros, in lower case."""
    return re.sub(r"\.[a-z]{3,4}$", "", re.split(r"[/\\]", name.strip().lower())[-1]).lstrip("0")


def read_captions(path: str | Path) -> CaptionFile:
    """Reads a file of captions."""
    path = Path(path)
    found, seen = CaptionFile(path), set()
    for where, name, row in _entries(path):
        name, index = _id(name, path, where), str(row.get("index") or 0)
        if (name, index) in seen:
            raise InputError(f"{path}, {where}: {printable(name)} has a second caption; give one for each")
        seen.add((name, index))
        if index != "0":
            found.further += 1
        elif row.get("error") and not row.get("caption"):
            found.failed[name] = str(row["error"])
        else:
            found.captions[name] = _caption(row, name, path, where)
    if not seen:
        raise InputError(f"{path} holds no captions; {FORMS}")
    return found


def _id(name: Any, path: Path, where: str) -> str:
    """Converts an id to text; COCO's are whole numbers. Other numbers may have lost zeros or digits."""
    if (isinstance(name, str) and name.strip()) or (isinstance(name, int) and not isinstance(name, bool)):
        return str(name)
    shown = "no id" if name is None or isinstance(name, str) else f"the id {json.dumps(name)[:40]}"
    raise InputError(f"{path}, {where} has {shown}; give a product_id (or image_id, image, id) as text in each")


def _caption(row: dict[str, Any], name: str, path: Path, where: str) -> str:
    caption = row.get("caption")
    if isinstance(caption, str):
        return caption
    kinds = {list: "a list of captions", dict: "an object for a caption", type(None): "no caption"}
    kind = kinds.get(type(caption), f"{json.dumps(caption)[:40]} for a caption")
    raise InputError(f"{path}, {where}: {printable(name)} has {kind}; give one string for each id")


def _entries(path: Path) -> Iterator[tuple[str, Any, dict[str, Any]]]:
    """Yields location, id and row of each caption."""
    text = _text(path)
    try:
        found = loads_once(text)
    except RepeatedKey as repeated:
        raise InputError(f"{path}: {printable(str(repeated))} has a second caption; give one for each") from repeated
    except (ValueError, RecursionError):
        yield from ((f"line {number}", _name(row), row) for number, row in _lines(text, path))
        return
    if isinstance(found, dict) and isinstance(found.get("annotations"), list):
        found = found["annotations"]  # COCO
    elif isinstance(found, dict) and (
        path.suffix == ".jsonl" or (set(found) & {"caption", "error"} and set(found) & set(IDS))
    ):
        found = [found]  # one row of JSON lines is a JSON object too
    if isinstance(found, dict):
        for number, (name, caption) in enumerate(found.items(), start=1):
            yield f"entry {number}", name, {"caption": caption}
    elif isinstance(found, list):
        for number, row in enumerate(found, start=1):
            if not isinstance(row, dict):
                raise InputError(f"{path}, entry {number} is not a row with an id and a caption; {FORMS}")
            yield f"entry {number}", _name(row), row
    else:
        raise InputError(f"{path} is JSON, but holds no captions; {FORMS}")


def _name(row: dict[str, Any]) -> Any:
    return next((row[name] for name in IDS if row.get(name) is not None), None)


def _text(path: Path) -> str:
    """Reads a file in whichever encoding it is, unpacked."""
    try:
        with open_text(path, dialect_of(path, "").encoding) as file:
            text = file.read()
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or first_line(error)
        raise InputError(f"cannot read {path}: {reason}; {FORMS}") from error
    if byte := foreign_byte(text):
        raise InputError(f"{path} is not UTF-8 text (byte {byte}); save it as UTF-8")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _lines(text: str, path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yields rows of a table or of JSON lines, depending on the first line."""
    csv.field_size_limit(max(csv.field_size_limit(), len(text)))
    lines = list(io.StringIO(text, newline=""))
    start = next((n for n, line in enumerate(lines) if line.strip() and not line.lower().startswith("sep=")), 0)
    first = lines[start] if lines else ""
    delimiter = next((mark for mark in ",;\t|" if _is_heading(first, mark)), None)
    if delimiter:
        yield from _table(lines, start, delimiter, path)
        return
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = loads_once(line)
        except RepeatedKey as repeated:
            raise InputError(f"{path}, line {number}: {printable(str(repeated))} occurs twice") from repeated
        except (ValueError, RecursionError) as error:
            plain = "plain text lines have no ids" if not first.lstrip().startswith(("{", "[")) else "this is not JSON"
            raise InputError(f"{path}, line {number}: {plain}; {FORMS}") from error
        if not isinstance(row, dict):
            raise InputError(f"{path}, line {number} is not a row with an id and a caption; {FORMS}")
        yield number, row


def _table(lines: Sequence[str], start: int, delimiter: str, path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yields line and row of a table whose heading is line ``start``; rows of another width are refused, not cut."""
    columns, reader = _names(lines[start], delimiter), csv.reader(lines[start + 1 :], delimiter=delimiter, strict=True)
    if twice := next((name for name in columns if columns.count(name) > 1), None):
        raise InputError(f"{path} has two columns {printable(twice)!r}; {FORMS}")
    try:
        for cells in filter(None, reader):
            where = start + 1 + reader.line_num
            if not any(map(str.strip, cells)):
                continue  # as spreadsheets leave them
            if len(cells) > len(columns):
                raise InputError(
                    f"{path}, line {where} has {len(cells)} cells, but there are {len(columns)} columns; quote texts"
                )
            yield where, dict(zip(columns, cells, strict=False))
    except csv.Error as error:
        raise InputError(f"{path} is not a table: {error}; {FORMS}") from error


def _names(heading: str, delimiter: str) -> list[str]:
    """Names of columns, in lower case."""
    return [name.strip().lower() for name in next(csv.reader([heading.strip()], delimiter=delimiter, skipinitialspace=True))]


def _is_heading(line: str, delimiter: str) -> bool:
    names = set(_names(line, delimiter))
    return "caption" in names and bool(names & set(IDS))


def json_line(row: dict[str, Any]) -> str:
    """Writes a row of JSON lines. Line separators inside texts are escaped, as some readers break lines at them."""
    line = json.dumps(row, ensure_ascii=False, allow_nan=False)
    for separator in "\x85\u2028\u2029":
        line = line.replace(separator, f"\\u{ord(separator):04x}")
    return line.encode("utf-8", "backslashreplace").decode() + "\n"  # surrogates come as \udXXX, JSON's own way


def write_table(rows: Callable[[], Iterator[dict[str, Any]]], table: Path, dialect: str) -> None:
    """Writes rows, read twice, in a dialect of `csv`; several tags share a cell as JSON."""
    columns = list(dict.fromkeys(name for row in rows() for name in row))
    with open(table, "w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns, dialect=dialect)
        writer.writeheader()
        for row in rows():
            cells = {name: value if isinstance(value, str | int) else json.dumps(value) for name, value in row.items()}
            writer.writerow({name: escaped(value) if isinstance(value, str) else value for name, value in cells.items()})


def write_shopify(rows: Iterable[dict[str, Any]], table: Path) -> None:
    """Writes a product import of Shopify: ``Handle``, ``Title`` if the rows have titles, and ``Body (HTML)``.

    A product has one row, its first with a caption: further ones would be taken for variants or photos. One without a caption
    has none, as an empty cell would empty the shop's text. Source: Shopify's help, "Using CSV files to import and export
    products".
    """
    bodies: dict[str, list[str]] = {}
    for row in rows:
        if "caption" in row and row["product_id"] not in bodies:
            titles = [row["title"]] if "title" in row else []
            bodies[row["product_id"]] = [*titles, f"<p>{html.escape(row['caption'], quote=False)}</p>"]
    titled = any(len(cells) > 1 for cells in bodies.values())
    with open(table, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["Handle", *(["Title"] if titled else []), "Body (HTML)"])
        for handle, cells in bodies.items():
            writer.writerow([escaped(cell) for cell in (handle, *([""] if titled and len(cells) == 1 else []), *cells)])

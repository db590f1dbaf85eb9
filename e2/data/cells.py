"""Content of a table cell: a value, several of them, an object, or nothing."""

import ast
import contextlib
import json
import re
from collections.abc import Callable, Iterable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from e2.data.canonical import canonical
from e2.data.edges import BLANKS_AND_BEYOND, among, edges, holds
from e2.json_once import doubled_key, loads_marked

LONGEST, DEEPEST = 100_000, 100  # characters and brackets of a cell that is read as a list
NO_COMMA = re.compile(r"""(?<=['"])\s+(?=['"])""")  # as NumPy prints arrays: ['a.jpg' 'b.jpg']
IMAGE_ENDINGS = ("jpg", "jpeg", "jpe", "jfif", "png", "webp", "gif", "bmp", "tif", "tiff", "avif", "heic", "heif", "jp2")
ONE_PATH = re.compile(rf"[a-zA-Z][a-zA-Z0-9+.-]+://.+|.+\.(?:{'|'.join(IMAGE_ENDINGS)})", re.IGNORECASE | re.DOTALL)
ADDRESSES = ("path", "url", "src")  # names of a path or URL in an object that stands for a photo
SEPARATORS = re.compile(r"\s*[|;,\n]\s*")
URL = re.compile(r"\s*(?:https?:)?//", re.IGNORECASE)
AFTER_URLS = "|;, \n"  # where a further one is missing
INLINE = re.compile(r"data:[^,]*,", re.IGNORECASE)  # a photo in a cell, RFC 2397
BETWEEN_INLINE = re.compile(r"[\s|;,]+(?=data:)", re.IGNORECASE)
BETWEEN_URLS = re.compile(r"[\s|;,]+(?=(?:https?:)?//)", re.IGNORECASE)  # a URL may hold commas and semicolons itself


def literal(cell: str) -> list | dict | None:
    """Parses a list or object in JSON or as Python and NumPy print it; None for any other text.

    >>> literal("['red', None]"), literal("[sale] Red dress")
    (['red', None], None)
    """
    if not cell.lstrip().startswith(("[", "{")) or len(cell) > LONGEST or sum(map(cell.count, "[{(")) > DEEPEST:
        return None
    readings: tuple[Callable, ...] = (loads_marked, lambda text: ast.literal_eval(NO_COMMA.sub(", ", text)))
    for read in readings:
        with contextlib.suppress(ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            found = read(cell.strip())
            return found if isinstance(found, list | dict) else None
    return None


def plain(value: object) -> str | None:
    """Turns a JSON value into text: objects and nested lists stay JSON, which `literal` reads.

    >>> plain(True), plain(2010.0), plain(float("nan")), plain({"en": "red"})
    ('true', '2010', None, '{"en": "red"}')
    """
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return None if value != value else canonical(str(value))
    return json.dumps(value, ensure_ascii=False, default=str)


def strings_of(values: Iterable[str | None]) -> pa.Array:
    """Makes a column of texts; half a surrogate pair, which JSON may escape, becomes a question mark."""
    values = list(values)
    try:
        return pa.array(values, pa.string())
    except UnicodeEncodeError:
        return pa.array([value and value.encode("utf-8", "replace").decode() for value in values], pa.string())


def values_in(cell: str) -> list[str | None]:
    """Values of a text cell: those of the list in it, or the cell itself."""
    found = literal(cell)
    return [plain(value) for value in found] if isinstance(found, list) else [cell]


def between_bars(cell: str) -> list[str | None]:
    """Parts of a text cell between bars, which no value of a tag contains.

    >>> between_bars("braided | casual|flat")
    ['braided ', ' casual', 'flat']
    """
    return [cell] if isinstance(literal(cell), dict) else list(cell.split("|"))


def may_hold_bars(texts: pa.StringArray) -> np.ndarray:
    """Mask of the texts that hold a bar."""
    if not holds(texts, "|"):
        return np.zeros(len(texts), bool)
    return np.asarray(pc.fill_null(pc.match_substring(texts, "|"), False))


def paths_in(cell: str) -> list[str | None]:
    """Paths or URLs of a text cell: those of a list, those between separators if each is one, or the cell itself.

    >>> paths_in("a.jpg;b.jpg"), paths_in("red, blue.jpg"), paths_in('{"path": "a.jpg"}')
    (['a.jpg', 'b.jpg'], ['red, blue.jpg'], ['a.jpg'])
    >>> paths_in("a.jpg|"), paths_in("https://cdn.example/b.jpg,")
    (['a.jpg'], ['https://cdn.example/b.jpg'])
    >>> paths_in('{"path": "a.jpg", "path": "b.jpg"}')
    ['{"path": "a.jpg", "path": "b.jpg"}']
    >>> paths_in("https://cdn.example/w_200,h_300/a.jpg, https://cdn.example/b")
    ['https://cdn.example/w_200,h_300/a.jpg', 'https://cdn.example/b']
    >>> paths_in("data:image/png;base64,iVBO=, data:image/gif;base64,R0lG")
    ['data:image/png;base64,iVBO=', 'data:image/gif;base64,R0lG']
    """
    found = literal(cell)
    if doubled_key(found) is not None:  # which of its two paths is meant?
        return [cell]
    if isinstance(found, list | dict):
        values = found if isinstance(found, list) else [found]
        return [plain(_address(value) if isinstance(value, dict) else value) for value in values]
    if INLINE.match(cell.lstrip()):  # photos in the cell
        return list(BETWEEN_INLINE.split(cell.strip()))
    if URL.match(cell):
        return list(BETWEEN_URLS.split(cell.strip().rstrip(AFTER_URLS)))
    parts = [part for part in SEPARATORS.split(cell.strip()) if part]
    return list(parts) if parts and all(map(ONE_PATH.fullmatch, parts)) else [cell]


def _address(photo: dict) -> object:
    """Path or URL in an object that stands for a photo."""
    return next((photo[name] for name in ADDRESSES if photo.get(name)), None)


def without_formula(texts: pa.StringArray) -> pa.StringArray:
    """Texts that exports wrap in a formula, ``="0012"``, so that spreadsheets keep their zeros; others as they are."""
    first, last = edges(texts)
    if not (among(first, b"=") & among(last, b'"')).any():
        return texts
    return pc.replace_substring_regex(texts, r'^="([^"]*)"$', r"\1")


def flattened(cells: pa.Array) -> tuple[pa.Array, np.ndarray]:
    """Flattens lists; also returns each value's row."""
    if not is_list(cells.type):
        return cells, np.arange(len(cells))
    return pc.list_flatten(cells), np.asarray(pc.list_parent_indices(cells))


def may_be_literals(texts: pa.StringArray) -> np.ndarray:
    """Mask of the texts that begin with a bracket that `literal` reads."""
    opening = among(edges(texts)[0], b"[{" + BLANKS_AND_BEYOND)
    if not opening.any():
        return opening
    return np.asarray(pc.fill_null(pc.match_substring_regex(texts, r"^\s*[\[{]"), False))


def may_be_paths(texts: pa.StringArray) -> np.ndarray:
    """Mask of the texts that may hold several paths."""
    if not holds(texts, "|;,\n"):
        return may_be_literals(texts)
    return may_be_literals(texts) | np.asarray(pc.fill_null(pc.match_substring_regex(texts, r"[|;,\n]"), False))


def spread(
    values: pa.Array,
    rows: np.ndarray,
    parts: Callable[[str], list[str | None]],
    may: Callable[[pa.StringArray], np.ndarray],
) -> tuple[pa.Array, np.ndarray]:
    """Splits text cells that hold several values by ``parts``; only those that ``may`` selects are tried."""
    if not is_text(values.type):
        return values, rows
    values = values.cast(pa.string())
    tried = may(values)
    if not tried.any():
        return values, rows
    lists = [parts(cell) if hit else [cell] for cell, hit in zip(values.to_pylist(), tried, strict=True)]
    counts = np.fromiter(map(len, lists), np.int64, len(lists))
    return strings_of(value for found in lists for value in found), np.repeat(rows, counts)


def grouped(values: pa.Array, rows: np.ndarray, keep: pa.Array, count: int) -> pa.ListArray:
    """Groups the kept values into one list for each of ``count`` rows."""
    kept = np.asarray(keep)
    if not kept.all():
        values, rows = values.filter(keep), rows[kept]
    offsets = np.concatenate([[0], np.bincount(rows, minlength=count).cumsum()])
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), values)


def usual(cells: pa.Array) -> pa.Array:
    """Cells in a usual layout instead of a view or an extension type; UUIDs as their texts."""
    kind = cells.type
    if isinstance(kind, pa.UuidType):
        return pa.array([None if one is None else str(one) for one in cells.to_pylist()], pa.string())
    if isinstance(kind, pa.BaseExtensionType):
        return usual(cells.storage)
    if pa.types.is_string_view(kind):
        return cells.cast(pa.string())
    if pa.types.is_binary_view(kind):
        return cells.cast(pa.large_binary())
    if pa.types.is_list_view(kind) or pa.types.is_large_list_view(kind):
        return cells.cast(pa.large_list(kind.value_type))
    return cells


def is_list(kind: pa.DataType) -> bool:
    """True if its cells hold several values."""
    return pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)


def is_text(kind: pa.DataType) -> bool:
    """True if its values are strings, in any layout."""
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    return pa.types.is_string(kind) or pa.types.is_large_string(kind)


def is_binary(kind: pa.DataType) -> bool:
    """True if its values are bytes."""
    return pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind)

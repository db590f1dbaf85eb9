"""One text for one value, however a table's format spells it.

The same product number is 4006381333931 in JSON, 4006381333931.0 in a data frame's CSV and 4.006381333931e+12 where Arrow
writes it; a spreadsheet says TRUE where JSON says true. Ids and tags are compared as texts, so each value gets the text that
JSON would give it. What only looks like a number keeps its leading zeros.
"""

import re
from decimal import Decimal

import pyarrow as pa
import pyarrow.compute as pc

# What `canonical` may change, for Arrow to find among millions of cells
CANDIDATES = r"^(?i:true|false)$|^[+-]?[0-9]+\.[0-9]*$|^[+-]?[0-9]\.?[0-9]*[eE][+-][0-9]{1,3}$|^[0-9]{4}-[0-9]{2}-[0-9]{2}[ T]"
SCIENTIFIC = re.compile(r"[+-]?\d\.?\d*[eE][+-]\d{1,3}", re.ASCII)  # as programs write it; an article number 7E10 is none
WHOLE = re.compile(r"(-?(?:0|[1-9]\d*))\.0*", re.ASCII)
DECIMAL = re.compile(r"(-?(?:0|[1-9]\d*)\.\d*[1-9])0+", re.ASCII)
DAY = re.compile(r"(\d{4}-\d\d-\d\d)[ T]00:00:00(?:\.0+)?(?:Z|\+00:00)?", re.ASCII)
SECOND = re.compile(r"(\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d)\.0+", re.ASCII)


def canonical(text: str, number: bool = True) -> str:
    """The one spelling of a value.

    >>> [canonical(text) for text in ("TRUE", "2010.0", "19.90", "4.006381333931e+12", "007", "2013-01-01 00:00:00")]
    ['true', '2010', '19.9', '4006381333931', '007', '2013-01-01']

    Args:
        text: a cell without blanks around it.
        number: whether zeros behind a point mean nothing; in an id they may (3.1 and 3.10), except those of a whole number.
    """
    if text.lower() in ("true", "false"):
        return text.lower()
    if SCIENTIFIC.fullmatch(text):
        text = f"{Decimal(text):f}"
    for shape in (WHOLE, DECIMAL, DAY, SECOND) if number else (WHOLE, DAY, SECOND):
        if found := shape.fullmatch(text):
            return found[1]
    return text


def strings(cells: pa.Array, number: bool = True) -> pa.Array:
    """Cells of any scalar type as trimmed strings in `canonical` form; null where blank or not a number (NaN)."""
    if pa.types.is_floating(cells.type):
        cells = pc.if_else(pc.is_nan(cells), pa.scalar(None, cells.type), cells)
    texts = pc.utf8_trim_whitespace(cells.cast(pa.string()))
    texts = pc.if_else(pc.equal(texts, ""), pa.scalar(None, pa.string()), texts)
    odd = pc.fill_null(pc.match_substring_regex(texts, CANDIDATES), False)
    if not pc.any(odd).as_py():
        return texts
    values = texts.filter(odd).dictionary_encode()
    mended = pa.array([canonical(text, number) for text in values.dictionary.to_pylist()], pa.string())
    return pc.replace_with_mask(texts, odd, mended.take(values.indices))

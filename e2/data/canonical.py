"""One text for one value, however a table's format spells it.

The same product number is 4006381333931 in JSON, 4006381333931.0 in a data frame's CSV and 4.006381333931e+12 where Arrow
writes it; a spreadsheet says TRUE where JSON says true. Ids and tags are compared as texts, so each value gets the text that
JSON would give it. What only looks like a number keeps its leading zeros.

Ids are stricter: one that is a text in its format is kept letter by letter, as other files name the product by it. CSV and TSV
know texts alone; see `ids_of_texts`.
"""

import re
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from e2.data.edges import among, edges, holds, trimmed

# What `canonical` may change, for Arrow to find among millions of cells
CANDIDATES = (
    r"^(?:(?i:true|false)$|[+-]?[0-9]+\.[0-9]*$|[+-]?[0-9]\.?[0-9]*[eE][+-][0-9]{1,3}$|[0-9]{4}-[0-9]{2}-[0-9]{2}[ T])"
)
EXPONENT = r"[eE]\+[0-9]{1,3}"  # of large numbers; 5E-10 and 7E10 may be article numbers
NUMBER = rf"^-?(?:0|[1-9][0-9]*)(?:\.[0-9]*)?(?:{EXPONENT})?$"
LARGE_NUMBER = rf"^-?[1-9](?:\.[0-9]*)?{EXPONENT}$"
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


def strings(cells: pa.Array) -> pa.Array:
    """Cells of any scalar type as trimmed strings in `canonical` form; null where blank or not a number (NaN)."""
    if pa.types.is_floating(cells.type):
        cells = pc.if_else(pc.is_nan(cells), pa.scalar(None, cells.type), cells)
    texts = trimmed(cells.cast(pa.string()))
    first, last = edges(texts)
    may = (among(first, b"+-0123456789") & among(last, b"0123456789.Z")) | (among(first, b"tTfF") & among(last, b"eE"))
    return _respelled(texts, np.flatnonzero(may), CANDIDATES) if may.any() else texts


def ids_of_texts(ids: pa.ChunkedArray) -> pa.ChunkedArray:
    """All ids of a table whose format knows texts alone (CSV), with numbers set right that a program has spoilt.

    Data frames write the number 2010 as 2010.0, others write 4.006381333931e+12. The first is a number only where all ids are,
    the second whatever stands beside it. Where two ids would become one, all are kept as they are.
    """
    texts = ids.combine_chunks()
    if not holds(texts, ".+"):
        return ids
    numbers = pc.all(pc.match_substring_regex(texts, NUMBER)).as_py()  # null is not asked
    found = _respelled(texts, np.arange(len(texts)), NUMBER if numbers else LARGE_NUMBER, number=False)
    return pa.chunked_array([found if pc.count_distinct(found) == pc.count_distinct(texts) else texts])


def _respelled(texts: pa.Array, places: np.ndarray, pattern: str, number: bool = True) -> pa.Array:
    """The strings, in `canonical` form those at some places that match a pattern."""
    hits = np.asarray(pc.fill_null(pc.match_substring_regex(texts.take(pa.array(places)), pattern), False))
    if not hits.any():
        return texts
    odd = np.zeros(len(texts), bool)
    odd[places[hits]] = True
    values = texts.filter(pa.array(odd)).dictionary_encode()
    mended = pa.array([canonical(text, number) for text in values.dictionary.to_pylist()], pa.string())
    return pc.replace_with_mask(texts, pa.array(odd), mended.take(values.indices))

"""Gives each value one text, however a table's format spells it.

The same product number is 4006381333931 in JSON, 4006381333931.0 in a data frame's CSV and 4.006381333931e+12 where Arrow
writes it; a spreadsheet says TRUE where JSON says true. Ids and tags are compared as texts, so each value gets the text that
JSON would give it. Values with leading zeros are not numbers and keep them.

Ids that are texts in their format are kept verbatim, as other files refer to them. CSV and TSV have only texts; see
`ids_of_texts`.
"""

import re
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from e2.data.edges import among, edges, holds, trimmed

# Candidates for `canonical`, for Arrow to find among millions of cells
CANDIDATES = (
    r"^(?:(?i:true|false)$|[+-]?[0-9]+\.[0-9]*$|[+-]?[0-9]\.?[0-9]*[eE][+-][0-9]{1,3}$|[0-9]{4}-[0-9]{2}-[0-9]{2}[ T])"
)
EXPONENT = r"[eE]\+[0-9]{1,3}"  # of large numbers; 5E-10 and 7E10 may be article numbers
NUMBER = rf"^-?(?:0|[1-9][0-9]*)(?:\.[0-9]*)?(?:{EXPONENT})?$"
LARGE_NUMBER = rf"^-?[1-9](?:\.[0-9]*)?{EXPONENT}$"
CUT = r"^-?[1-9][.,][0-9]{1,5}E\+[0-9]{2}$"  # as spreadsheets show a long number: its other digits are lost
SCIENTIFIC = re.compile(r"[+-]?\d\.?\d*[eE][+-]\d{1,3}", re.ASCII)  # as programs write it; an article number 7E10 is none
WHOLE = re.compile(r"(-?(?:0|[1-9]\d*))\.0*", re.ASCII)
DECIMAL = re.compile(r"(-?(?:0|[1-9]\d*)\.\d*[1-9])0+", re.ASCII)
DAY = re.compile(r"(\d{4}-\d\d-\d\d)[ T]00:00:00(?:\.0+)?(?:Z|\+00:00)?", re.ASCII)
SECOND = re.compile(r"(\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d)\.0+", re.ASCII)


def canonical(text: str, number: bool = True) -> str:
    """Returns the canonical spelling of a value, a cell without blanks around it.

    Trailing zeros after the point go; ``number=False``, for ids, where 3.1 is not 3.10, drops only those of a whole number.

    >>> [canonical(text) for text in ("TRUE", "2010.0", "19.90", "4.006381333931e+12", "007", "2013-01-01 00:00:00")]
    ['true', '2010', '19.9', '4006381333931', '007', '2013-01-01']
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
    """Converts cells of any scalar type to trimmed `canonical` strings; null if blank or NaN."""
    if pa.types.is_floating(cells.type):
        cells = pc.if_else(pc.is_nan(cells), pa.scalar(None, cells.type), cells)
    texts = trimmed(cells.cast(pa.string()))
    first, last = edges(texts)
    may = (among(first, b"+-0123456789") & among(last, b"0123456789.Z")) | (among(first, b"tTfF") & among(last, b"eE"))
    return _respelled(texts, np.flatnonzero(may), CANDIDATES) if may.any() else texts


def ids_of_texts(ids: pa.ChunkedArray) -> pa.ChunkedArray:
    """Repairs the ids of a table whose format has only texts (CSV) and whose numbers a program has respelled.

    Data frames write the number 2010 as 2010.0, others write 4.006381333931e+12. The first is taken for a number only if all
    ids are, the second always; a number that a spreadsheet has cut (`CUT`) cannot be restored. If two ids would become one,
    all are
    kept as they are.
    """
    texts = ids.combine_chunks()
    if not holds(texts, ".+"):
        return ids
    numbers = pc.all(pc.match_substring_regex(texts, NUMBER)).as_py()  # null is not asked
    found = _respelled(texts, np.flatnonzero(~are_cut(texts)), NUMBER if numbers else LARGE_NUMBER, number=False)
    return pa.chunked_array([found if pc.count_distinct(found) == pc.count_distinct(texts) else texts])


def are_cut(texts: pa.Array) -> np.ndarray:
    """Mask of the numbers that a spreadsheet has cut (`CUT`), e.g. 4.00638E+12."""
    if not holds(texts, "+"):
        return np.zeros(len(texts), bool)
    return np.asarray(pc.fill_null(pc.match_substring_regex(texts, CUT), False))


def _respelled(texts: pa.Array, places: np.ndarray, pattern: str, number: bool = True) -> pa.Array:
    """Respells those of some strings that match a pattern in `canonical` form."""
    hits = np.asarray(pc.fill_null(pc.match_substring_regex(texts.take(pa.array(places)), pattern), False))
    if not hits.any():
        return texts
    odd = np.zeros(len(texts), bool)
    odd[places[hits]] = True
    values = texts.filter(pa.array(odd)).dictionary_encode()
    mended = pa.array([canonical(text, number) for text in values.dictionary.to_pylist()], pa.string())
    return pc.replace_with_mask(texts, pa.array(odd), mended.take(values.indices))

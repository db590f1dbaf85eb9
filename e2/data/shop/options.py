"""Options of variants whose names stand in cells: Shopify's Option1 Name "Color", Option1 Value "Red", and WooCommerce's."""

import functools
import re
from collections.abc import Iterable, Iterator

from e2.data.shop.layout import OPTION
from e2.data.shop.rows import ExportRow

NAMING = re.compile(r"(?:option|attribute )(\d+) name")
VALUE = re.compile(r"(?:option|attribute )(\d+) value(\(s\))?")  # several: between commas
NO_VARIANTS = "title"  # Shopify's name for the option of products without any


@functools.cache
def is_option(name: str) -> bool:
    """True for a column of names or values of options."""
    return bool(NAMING.fullmatch(name.casefold()) or VALUE.fullmatch(name.casefold()))


def with_options(rows: Iterable[ExportRow], handle: str) -> Iterator[ExportRow]:
    """Yields the rows with each option as a field, ``option:color``.

    Only the first row of a product, whose rows share the field ``handle``, names its options.
    """
    names: dict[tuple[str, str], str] = {}
    for row in rows:
        product = next(iter(row.fields.get(handle, ())), "")
        for name in [name for name in row.fields if isinstance(name, str) and is_option(name)]:
            found, values = NAMING.fullmatch(name.casefold()), row.fields[name]
            if found and values:
                names[product, found[1]] = values[0].strip().casefold()
        for name in [name for name in row.fields if is_option(name)]:
            values = row.fields.pop(name)
            found = VALUE.fullmatch(name.casefold())
            option = names.get((product, found[1])) if found else None
            if option and option != NO_VARIANTS:
                several = bool(found and found[2])
                parts = [part.strip() for value in values for part in (value.split(",") if several else [value])]
                row.fields.setdefault(f"{OPTION}{option}", []).extend(parts)
        yield row

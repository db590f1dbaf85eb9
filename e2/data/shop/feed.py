"""Reads Google Merchant feeds in XML (RSS 2.0 or Atom), one product at a time, however large the file."""

from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

from e2.data.shop.layout import OPTION
from e2.errors import InputError, first_line
from e2.extras import extra

ITEMS = ("item", "entry")  # of RSS and of Atom


def feed_rows(file: Path, opened: Callable[[Path], IO[bytes]]) -> Iterator[dict[str, list[str]]]:
    """Yields name -> values of each product; of a name with and without Google's namespace (g:) the first is taken.

    Neither entities of the file's own nor anything outside it is read.
    """
    with extra("sources", "feeds in XML"):
        from lxml import etree
    found = False
    try:
        with opened(file) as content:
            tags = [f"{{*}}{tag}" for tag in ITEMS]
            for _, item in etree.iterparse(content, tag=tags, resolve_entities=False, no_network=True, remove_comments=True):
                found = True
                yield _fields(item)
                item.clear()
                while item.getprevious() is not None:  # else the products read before stay in memory
                    del item.getparent()[0]
    except (etree.XMLSyntaxError, EOFError) as error:
        raise InputError(f"{file}: not well-formed XML ({first_line(error)}); export the feed again") from error
    if not found:
        raise InputError(f"{file}: no products in it (elements <item> or <entry>); name a Google Merchant feed")


def _fields(item: Any) -> dict[str, list[str]]:
    google: dict[str, list[str]] = defaultdict(list)
    plain: dict[str, list[str]] = defaultdict(list)
    for part in item.iterchildren("*"):
        _, _, namespace_and_name = part.tag.rpartition("{")
        namespace, _, name = namespace_and_name.rpartition("}")
        if not len(part) and (text := (part.text or "").strip()):
            (google if "google" in namespace else plain)[name].append(text)
        elif len(part) and name == "product_detail":
            _add_detail(google, part)
    return {**plain, **google}


def _add_detail(fields: dict[str, list[str]], detail: Any) -> None:
    """Adds a product detail, e.g. section, ``attribute_name`` Fabric and ``attribute_value`` linen, as ``option:fabric``."""
    named = {child.tag.rpartition("}")[2]: (child.text or "").strip() for child in detail.iterchildren("*")}
    if named.get("attribute_name") and named.get("attribute_value"):
        fields[OPTION + named["attribute_name"].casefold()].append(named["attribute_value"])

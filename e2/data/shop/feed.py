"""Reads Google Merchant feeds in XML (RSS 2.0 or Atom), one product at a time, however large the file."""

import re
from collections import defaultdict
from collections.abc import Iterator
from html.entities import html5
from pathlib import Path
from typing import IO, Any

from e2.data.dialect import open_bytes
from e2.data.shop.layout import OPTION
from e2.errors import InputError, first_line, printable
from e2.extras import extra

HEAD = 1024  # bytes
ITEMS = ("item", "entry")  # of RSS and of Atom
DETAIL = "product_detail"
ENTITY = re.compile(rb"&([A-Za-z][A-Za-z0-9]*;)")
ENTITY_BEGUN = re.compile(rb"&([A-Za-z][A-Za-z0-9]{,40})?\Z")
XML = ("amp;", "lt;", "gt;", "quot;", "apos;")  # entities that XML knows
DESCRIPTIONS = ("description", "summary", "content")  # of RSS, and of Atom


def feed_rows(file: Path) -> Iterator[dict[str, list[str]]]:
    """Yields name -> values of each product; of a name with and without Google's namespace (g:) the first is taken.

    Neither entities of the file's own nor anything outside it is read.
    """
    return map(_fields, _items(file))


def detail_names(file: Path) -> list[str]:
    """Names of the fields that are product details, in any product."""
    details = (detail for item in _items(file) for detail in item.iterfind(f"{{*}}{DETAIL}"))
    return list(dict.fromkeys(name for name, _ in map(_detail, details) if name))


def _items(file: Path) -> Iterator[Any]:
    """Yields the elements of the products; each is emptied when the next one is asked for."""
    etree, found, items = _etree(), False, None
    try:
        with open_bytes(file) as content:
            head = content.read(HEAD)
            content.seek(len(head) - len(head.lstrip()))  # blank lines that programs leave before the declaration
            tags = [f"{{*}}{tag}" for tag in ITEMS]
            safe = {"resolve_entities": False, "no_network": True, "remove_comments": True, "remove_pis": True}
            items = etree.iterparse(_WithoutEntities(content), tag=tags, **safe)
            for _, item in items:
                found = True
                yield item
                item.clear()
                while item.getprevious() is not None:  # else the products read before stay in memory
                    del item.getparent()[0]
    except (etree.XMLSyntaxError, EOFError) as error:
        told = items.error_log[-1] if items is not None and len(items.error_log) else None  # the error may name what followed
        reason = f"line {told.line:,}: {told.message}" if told else first_line(error)
        raise InputError(f"{file}: not well-formed XML ({printable(reason)}); export the feed again") from error
    if not found:
        raise InputError(f"{file}: no products in it (elements <item> or <entry>); name a Google Merchant feed")


class _WithoutEntities:
    """Reads a feed with HTML's named entities, which XML does not know (``&nbsp;``), as numbers (``&#160;``).

    In encodings that hold ASCII; in others they stay, and are no XML.
    """

    def __init__(self, content: IO[bytes]):
        self._content, self._rest = content, b""

    def read(self, size: int) -> bytes:
        """Reads about ``size`` bytes; none at the end."""
        text = found = self._content.read(size)
        while found:
            text = self._rest + found
            begun = ENTITY_BEGUN.search(text)  # it goes on in what is read next
            cut = begun.start() if begun else len(text)
            text, self._rest = text[:cut], text[cut:]
            found = b"" if text else self._content.read(size)
        if not text:
            text, self._rest = self._rest, b""
        return ENTITY.sub(_number, text)


def _number(entity: re.Match[bytes]) -> bytes:
    name = entity[1].decode()
    if name in XML or name not in html5:
        return entity[0]
    return "".join(f"&#{ord(letter)};" for letter in html5[name]).encode()


def _fields(item: Any) -> dict[str, list[str]]:
    google: dict[str, list[str]] = defaultdict(list)
    plain: dict[str, list[str]] = defaultdict(list)
    for part in item.iterchildren("*"):
        _, _, namespace_and_name = part.tag.rpartition("{")
        namespace, _, name = namespace_and_name.rpartition("}")
        if name == DETAIL:
            option, value = _detail(part)
            if option and value:
                google[option].append(value)
        elif text := _content(part):
            (google if "google" in namespace else plain)[name].append(text)
    fields = {**plain, **google}
    told = next((name for name in DESCRIPTIONS if name in fields), None)
    return fields | {DESCRIPTIONS[0]: fields[told]} if told else fields


def _content(part: Any) -> str:
    """Text of an element, with the markup inside it, if any (<b>, XHTML)."""
    return "".join([part.text or "", *(_etree().tostring(inner, encoding="unicode") for inner in part)]).strip()


def _etree() -> Any:
    with extra("sources", "feeds in XML"):
        from lxml import etree
    return etree


def _detail(detail: Any) -> tuple[str, str]:
    """Field and value of a product detail: ``attribute_name`` Fabric and ``attribute_value`` linen are ``option:fabric``."""
    named = {child.tag.rpartition("}")[2]: (child.text or "").strip() for child in detail.iterchildren("*")}
    name = named.get("attribute_name", "")
    return OPTION + name.casefold() if name else "", named.get("attribute_value", "")

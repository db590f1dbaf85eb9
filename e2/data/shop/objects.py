"""Reads JSON exports: lists of products, each an object with objects and lists within (Shopify, WooCommerce, ...)."""

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from e2.data.cells import plain
from e2.data.shop.layout import OPTION
from e2.errors import InputError, printable
from e2.json_once import Doubled

LISTS = ("products", "items", "data", "results", "entries", "nodes", "edges", "records")  # names of the list of products
TEXTS = ("src", "url", "path", "name", "title", "label", "value", "rendered", "text")  # what an object stands for
VALUES = ("values", "options", "option", "value")  # of a named attribute
PAGES = ("edges", "nodes")  # of lists in GraphQL
PRICE = "price"
DEEPEST = 8  # lists and objects around the products


def objects_of(document: Any, where: str) -> Iterator[dict[str, Any]]:
    """Yields the products of a JSON document: the list itself, or the one within under a usual name."""
    found = _list_in(document, where, DEEPEST)
    if found is None:
        raise InputError(f'{where}: no list of products in it; write [{{...}}, {{...}}] or {{"products": [{{...}}]}}')
    for product in found:
        if isinstance(product, dict):
            yield product["node"] if isinstance(product.get("node"), dict) else product


def _list_in(value: Any, where: str, depth: int) -> list | None:
    if isinstance(value, Doubled):
        raise InputError(f"{where} names {printable(value.key)!r} twice around its products; write it once")
    if isinstance(value, list):
        return value if any(isinstance(item, dict) for item in value) else None
    if isinstance(value, dict) and depth:
        named = (value[name] for name in LISTS if name in value)
        others = (inner for name, inner in value.items() if name not in LISTS and isinstance(inner, dict))
        return next((found for inner in (*named, *others) if (found := _list_in(inner, where, depth - 1)) is not None), None)
    return None


def fields_of(product: dict[str, Any]) -> dict[str, list[str]]:
    """Name -> values of a product.

    Named attributes become fields of their own (``{"name": "Color", "options": ["Red"]}`` is ``option:color``); other objects
    count as the first of their parts that says something: an address, a name, a value.
    """
    fields: dict[str, list[str]] = defaultdict(list)
    for name, value in [*product.items(), *_prices(product)]:
        for item in _listed(value):
            attribute = _attribute(item)
            for text in attribute[1] if attribute else [_text(item)]:
                if text and text.strip():
                    fields[attribute[0] if attribute else name].append(text)
    return dict(fields)


def _listed(value: Any) -> list[Any]:
    """Values of a field: the list itself, or that within the pages of GraphQL (``edges`` of ``node``, ``nodes``)."""
    if isinstance(value, dict):
        value = next((value[name] for name in PAGES if isinstance(value.get(name), list)), value)
    values = value if isinstance(value, list) else [value]
    return [item["node"] if isinstance(item, dict) and "node" in item else item for item in values]


def _prices(product: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Prices of a product's variants, as far as it has none of its own (Shopify)."""
    variants = product.get("variants")
    if isinstance(variants, list) and PRICE not in product:
        prices = (variant.get(PRICE) for variant in variants if isinstance(variant, dict))
        yield PRICE, [price for price in prices if price is not None]


def _attribute(item: Any) -> tuple[str, list[str | None]] | None:
    """Name and values of an attribute; None for anything else."""
    if not isinstance(item, dict) or not isinstance(item.get("name"), str):
        return None
    value = next((item[name] for name in VALUES if name in item), None)
    if value is None:
        return None
    return OPTION + item["name"].strip().casefold(), [_text(each) for each in (value if isinstance(value, list) else [value])]


def _text(item: Any) -> str | None:
    if isinstance(item, dict):
        item = next((item[name] for name in TEXTS if isinstance(item.get(name), str)), None)
    return plain(item)

"""Recall as a query says more: which fields it lists, which products fit it, and in which order fields help most.

A query lists some *fields* of a product, tags or the description, one after another. Several products may fit a vague one. Two
readings of success, per query: *matching*, a product all of whose listed fields are the same is among the top k; *exact*, the
very product that the query was written for is. More detail makes the first harder by itself (fewer products fit) and the
second easier, so their curves meet where a query says enough to single out its product.
"""

from collections.abc import Callable, Hashable, Mapping, Sequence

import numpy as np

JOIN = ". "  # between fields, as in a product's full text


def write_query(fields: Sequence[str], record: dict[str, str]) -> str:
    """The listed fields of one product in words, e.g. ``"Shirts. Blue. Nike"``."""
    return JOIN.join(record[field].rstrip(" .") for field in fields)


def fitting(fields: Sequence[str], records: Sequence[Mapping[str, Hashable]]) -> np.ndarray:
    """(P,) int64: products of equal number have all listed fields, and the same; -1 for one that lacks a listed field."""
    numbers: dict[tuple[Hashable, ...], int] = {}
    found = np.empty(len(records), dtype=np.int64)
    for row, record in enumerate(records):
        if all(field in record for field in fields):
            found[row] = numbers.setdefault(tuple(record[field] for field in fields), len(numbers))
        else:
            found[row] = -1
    return found


def greedy_order(fields: Sequence[str], score: Callable[[tuple[str, ...]], float]) -> tuple[list[str], list[dict[str, float]]]:
    """Adds, time after time, the field whose addition scores highest; of equal ones the first.

    Args:
        fields: to be ordered.
        score: of a query that lists these fields in this order; higher is better.

    Returns:
        All fields in the order found, and per step what each candidate scored.
    """
    order: list[str] = []
    steps = []
    while len(order) < len(fields):
        tried = {field: score((*order, field)) for field in fields if field not in order}
        order.append(max(tried, key=lambda field: tried[field]))
        steps.append(tried)
    return order, steps

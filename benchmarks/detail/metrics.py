"""Recall by detail of the query: the fields it lists, the products that fit it, and the most helpful order of fields.

A query lists some *fields* of a product: tags or the description. Several products may fit a vague one, so a query counts as
*matching* if any product with the same listed fields is in the top k, and as *exact* if its own product is. More detail makes
the first harder (fewer products fit) and the second easier; the curves meet once a query singles out its product.
"""

from collections.abc import Callable, Hashable, Mapping, Sequence

import numpy as np

JOIN = ". "  # between fields, as in a product's full text


def write_query(fields: Sequence[str], record: dict[str, str]) -> str:
    """Writes the listed fields of one product as a query, e.g. ``"Shirts. Blue. Nike"``."""
    return JOIN.join(record[field].rstrip(" .") for field in fields)


def fitting(fields: Sequence[str], records: Sequence[Mapping[str, Hashable]]) -> np.ndarray:
    """Numbers products by their listed fields, equal ones alike: (P,) int64; -1 if a listed field is missing."""
    numbers: dict[tuple[Hashable, ...], int] = {}
    found = np.empty(len(records), dtype=np.int64)
    for row, record in enumerate(records):
        if all(field in record for field in fields):
            found[row] = numbers.setdefault(tuple(record[field] for field in fields), len(numbers))
        else:
            found[row] = -1
    return found


def greedy_order(fields: Sequence[str], score: Callable[[tuple[str, ...]], float]) -> tuple[list[str], list[dict[str, float]]]:
    """Orders fields greedily: adds the field with the highest score of queries each time; ties go to the first.

    Returns:
        All fields in the order found, and each candidate's score per step.
    """
    order: list[str] = []
    steps = []
    while len(order) < len(fields):
        tried = {field: score((*order, field)) for field in fields if field not in order}
        order.append(max(tried, key=lambda field: tried[field]))
        steps.append(tried)
    return order, steps

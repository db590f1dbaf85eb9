"""Orders products by the numbers of a tag, such as a price or a year."""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, chain, groupby

import numpy as np

from e2.adapters.search.filters import Filter, Not, OneOf, all_of, number_of
from e2.adapters.search.index import ProductSearch
from e2.adapters.search.store import IndexHit
from e2.data.product import values_of
from e2.errors import InputError, printable

NEAREST = 100  # hits of a query that are sorted: further ones hardly match it
MOSTLY = 0.5  # share of a tag's products that must have a number, for it to be offered


@dataclass(frozen=True)
class Order:
    """An order by a tag's numbers, lowest or highest first; products without one come last."""

    entity: str
    highest: bool = False

    def rank(self, tags: Mapping[str, str]) -> float:
        """Sort key of a product: its number, the lowest or highest of several."""
        found = [number for value in values_of(tags.get(self.entity, "")) if (number := number_of(value)) is not None]
        signed = [-number if self.highest else number for number in found]
        return min(signed, default=float("inf"))

    def sorted(self, hits: Sequence[IndexHit]) -> list[IndexHit]:
        """Orders hits; those of the same number stay as they are."""
        return sorted(hits, key=lambda hit: self.rank(hit.tags))


def order_of(text: str | None, entities: Sequence[str]) -> Order | None:
    """Parses ``ENTITY`` or ``-ENTITY``, highest first; None for no order.

    Raises:
        InputError: an unknown tag.

    Example:
        >>> order_of("-price", ["price"])
        Order(entity='price', highest=True)
    """
    if not text:
        return None
    entity, highest = (text, False) if text in entities else (text.removeprefix("-"), text.startswith("-"))
    if entity not in entities:
        raise InputError(
            f"sort {printable(text[:40])!r}: there is no tag {printable(entity[:40])!r} in this index; "
            f"write one of {', '.join(entities) or 'none'}, with - before it for the highest first"
        )
    return Order(entity, highest)


def numbered(facets: Mapping[str, Mapping[str, int]]) -> list[str]:
    """Tags most of whose products have a number."""
    return [entity for entity, counts in facets.items() if counts and _share(counts) > MOSTLY]


def _share(counts: Mapping[str, int]) -> float:
    return sum(count for value, count in counts.items() if number_of(value) is not None) / sum(counts.values())


def listed(
    products: ProductSearch, vector: np.ndarray, order: Order, k: int, where: Filter | None, offset: int
) -> list[IndexHit]:
    """Lists all products that pass a filter in order, ``k`` after ``offset``; those of the same number by a vector (1, D).

    Products of a number are searched by themselves, on whatever page they are: scores of equal photos differ by a rounding
    when they are computed among others, so that pages would repeat some and lose others.
    """
    steps = [*_steps(products, order, where), []]  # the last one stands for products without a number
    values = list(chain(*steps))
    starts = [0, *accumulate(map(len, steps))]

    def before(step: int) -> int:
        """Number of products that come before a step."""
        return products.count(all_of([where, OneOf(order.entity, tuple(values[: starts[step]]))])) if step else 0

    first = bisect_right(range(len(steps)), offset, key=before) - 1
    skipped = offset - before(first)
    found: list[IndexHit] = []
    for step in range(first, len(steps)):
        if (missing := skipped + k - len(found)) > 0:
            seen, these = tuple(values[: starts[step]]), tuple(steps[step])
            later = Not(OneOf(order.entity, seen)) if seen else None
            named = OneOf(order.entity, these) if these else None
            found += products.search(vector, missing, all_of([where, later, named]))[0]
    return found[skipped:]


def _steps(products: ProductSearch, order: Order, where: Filter | None) -> list[list[str]]:
    """Values of the same number together, in order."""
    counts = products.facets(where).get(order.entity, {})
    ranks = {value: rank for value in counts if (rank := order.rank({order.entity: value})) < float("inf")}
    return [list(alike) for _, alike in groupby(sorted(ranks, key=lambda value: ranks[value]), key=lambda value: ranks[value])]

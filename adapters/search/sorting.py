"""Orders products by the numbers of a tag, such as a price or a year."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, groupby

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
    """Lists all products that pass a filter in order, ``k`` after ``offset``; those of the same number by a vector (1, D)."""
    end = offset + k
    found: list[IndexHit] = []
    seen: list[str] = []
    for values in _steps(products, order, where, end):
        if len(found) < end:
            later = Not(OneOf(order.entity, tuple(seen))) if seen else None
            these = OneOf(order.entity, tuple(values)) if values else None
            found += order.sorted(products.search(vector, end - len(found), all_of([where, later, these]))[0])
            seen += values
    return found[offset:end]


def _steps(products: ProductSearch, order: Order, where: Filter | None, end: int) -> Iterator[list[str]]:
    """Yields values whose products come next: first all that ``end`` products have together, then number by number.

    The last one, empty, stands for products without a number.
    """
    counts = products.facets(where).get(order.entity, {})
    ranks = {value: rank for value in counts if (rank := order.rank({order.entity: value})) < float("inf")}
    numbers = [
        list(alike) for _, alike in groupby(sorted(ranks, key=lambda value: ranks[value]), key=lambda value: ranks[value])
    ]
    totals = list(accumulate(sum(counts[value] for value in alike) for alike in numbers))
    front = sum(total <= end for total in totals)
    if front:
        yield [value for alike in numbers[:front] for value in alike]
    yield from [*numbers[front:], []]

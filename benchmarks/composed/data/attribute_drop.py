"""Queries that need both halves, after ReMuQ (Luo et al., ACL 2023, arXiv 2306.00424): words leave out what the photo shows.

The reference and what is wanted differ in one tag, so that the photo alone finds the wrong product. The words say all wanted
tags but one, which the reference shares; they are kept only if some other product fits the words with another value of that
tag, so that the words alone cannot tell. Right is every product with all wanted tags, what the garment is among them.
"""

import itertools
from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np

from e2.benchmarks.composed.data.attribute_swap import SIZE, check_draw, settings_of
from e2.benchmarks.composed.data.tag_pairs import Pair, TagTable, draw_pairs, swap_sets
from e2.benchmarks.composed.data.tagged_products import TaggedProducts
from e2.benchmarks.composed.data.tagged_queries import TaggedQueries, TaggedQuery
from e2.benchmarks.composed.data.wishes import WORDINGS, description
from e2.errors import InputError

NAME = "attribute-drop"


def draw_drops(
    products: TaggedProducts,
    *,
    swap: Sequence[str] | None = None,
    size: int = SIZE,
    wordings: int = WORDINGS,
    seed: int = 0,
) -> TaggedQueries:
    """Draws the queries, balanced over the tags that change.

    Args:
        products: of one split.
        swap: the tags that may differ between the photo and what is wanted; None: all but the kept ones.
        size: queries; fewer come where the catalogue has fewer.
        wordings: in how many ways each wish is said, 1 to 5.
        seed: of the draw.

    Raises:
        InputError: options out of range, unknown tags, or a catalogue without any such query.
    """
    check_draw(1, size, wordings)
    queries = list(itertools.islice(_queries(products, swap, wordings, seed), size))
    if not queries:
        raise InputError(
            f"{products.catalogue.name}: no product fits words about {', '.join(products.table.entities)} less one of them "
            "only with its photo; name other --tags"
        )
    return TaggedQueries(settings_of(NAME, products, swap, 1, size, seed), tuple(queries))


def _queries(products: TaggedProducts, swap: Sequence[str] | None, wordings: int, seed: int) -> Iterator[TaggedQuery]:
    table, rng = products.table, np.random.default_rng(seed)
    fitting = _fitting(table)
    for pair in draw_pairs(table, swap_sets(table, products.changing(swap), 1), seed):
        open_ = [d for d in range(len(table.entities)) if d not in pair.changed and fitting[d][_without(pair.wanted, d)] > 1]
        if open_:
            yield _query(products, pair, int(rng.choice(open_)), wordings)


def _fitting(table: TagTable) -> list[Counter[tuple[int, ...]]]:
    """For each entity left out: the other tags -> how many values of it products with these have."""
    tuples = np.unique(table.codes, axis=0)
    return [Counter(_without(row, dropped) for row in tuples) for dropped in range(len(table.entities))]


def _without(codes: np.ndarray, place: int) -> tuple[int, ...]:
    return (*codes[:place].tolist(), *codes[place + 1 :].tolist())


def _query(products: TaggedProducts, pair: Pair, dropped: int, wordings: int) -> TaggedQuery:
    table = products.table
    wanted, name = table.named(pair.wanted), table.entities[dropped]
    said = {entity: value for entity, value in wanted.items() if entity != name}
    return TaggedQuery(
        products.ids[pair.reference],
        wanted,
        tuple(table.entities[place] for place in pair.changed),
        name,
        tuple(description(said, number) for number in range(wordings)),
        tuple(products.ids[i] for i in pair.answers),
    )

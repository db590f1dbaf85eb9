"""Draws queries that need both photo and words, after ReMuQ (Luo et al., ACL 2023, arXiv 2306.00424).

The reference and the wanted product differ in one tag, so the photo alone finds the wrong product. The words name all wanted
tags but one, which the reference shares; some other product must fit the words with another value of that tag, so the words
alone do not suffice. Every product with all wanted tags, including the kind of garment, is right.
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
        swap: tags that may differ between the photo and the wanted product; None: all but the kept ones.
        size: queries; fewer if the catalogue has fewer.
        wordings: number of wordings of each wish, 1 to 5.
        seed: of the random selection.

    Raises:
        InputError: options out of range, unknown tags, or a catalogue without any such query.
    """
    check_draw(1, size, wordings)
    queries = list(itertools.islice(_queries(products, swap, wordings, seed), size))
    if not queries:
        raise InputError(
            f"{products.catalogue.name}: no product fits words about {', '.join(products.table.entities)} minus one only "
            "with its photo; name other --tags"
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
    """Counts, for each entity left out: the other tags -> number of its values among products with these."""
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

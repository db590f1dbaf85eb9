"""Attribute-swap benchmark: "this one, but in black instead of navy blue", from any tagged catalogue.

A query is a product's photo and a change of one tag (or of two at once); a right answer has the changed tags as wished *and*
all other tags of the reference, including the kind of garment.
"""

import itertools
from collections.abc import Sequence

from e2.benchmarks.composed.data.tag_pairs import Pair, draw_pairs, swap_sets
from e2.benchmarks.composed.data.tagged_products import TaggedProducts
from e2.benchmarks.composed.data.tagged_queries import TaggedQueries, TaggedQuery
from e2.benchmarks.composed.data.wishes import WORDINGS, Change, wish
from e2.errors import InputError

NAME = "attribute-swap"
SIZE = 1000  # queries


def draw_swaps(
    products: TaggedProducts,
    *,
    swap: Sequence[str] | None = None,
    changes: int = 1,
    size: int = SIZE,
    wordings: int = WORDINGS,
    seed: int = 0,
) -> TaggedQueries:
    """Draws the queries, balanced over the tags that change.

    Args:
        products: of one split.
        swap: the tags that may change; None: all but the kept ones.
        changes: most changes at once, 1 or 2.
        size: queries; fewer if the catalogue has fewer pairs.
        wordings: number of wordings of each wish, 1 to 5.
        seed: of the random selection.

    Raises:
        InputError: options out of range, unknown tags, or a catalogue without any pair.
    """
    check_draw(changes, size, wordings)
    pairs = draw_pairs(products.table, swap_sets(products.table, products.changing(swap), changes), seed)
    queries = [_query(products, pair, wordings) for pair in itertools.islice(pairs, size)]
    if not queries:
        raise InputError(
            f"{products.catalogue.name}: no two products differ in just {changes} of {', '.join(products.table.entities)}; "
            "name fewer by --tags, or allow more --changes"
        )
    return TaggedQueries(settings_of(NAME, products, swap, changes, size, seed), tuple(queries))


def _query(products: TaggedProducts, pair: Pair, wordings: int) -> TaggedQuery:
    table = products.table
    old, wanted = table.named(table.codes[pair.reference]), table.named(pair.wanted)
    names = tuple(table.entities[place] for place in pair.changed)
    changes = [Change(name, old[name], wanted[name]) for name in names]
    wishes = tuple(wish(changes, number) for number in range(wordings))
    return TaggedQuery(products.ids[pair.reference], wanted, names, None, wishes, tuple(products.ids[i] for i in pair.answers))


def check_draw(changes: int, size: int, wordings: int) -> None:
    """Checks the options.

    Raises:
        InputError: an option out of range.
    """
    if changes not in (1, 2):
        raise InputError(f"--changes {changes} is out of range; choose 1 or 2")
    if size < 1:
        raise InputError(f"--size {size} is out of range; ask for at least one query")
    if not 1 <= wordings <= WORDINGS:
        raise InputError(f"--wordings {wordings} is out of range; choose 1 to {WORDINGS}")


def settings_of(
    name: str, products: TaggedProducts, swap: Sequence[str] | None, changes: int, size: int, seed: int
) -> dict[str, object]:
    """Settings of a list."""
    return {
        "benchmark": name,
        "dataset": products.catalogue.name,
        "split": products.catalogue.split,
        "tags": list(products.table.entities),
        "keep": list(products.keep),
        "swap": products.changing(swap),
        "changes": changes,
        "size": size,
        "seed": seed,
    }

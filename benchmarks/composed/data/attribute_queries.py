"""Draws queries from the tags of any catalogue, balanced over the tags that change.

- ``attribute-swap``: "this one, but in black instead of navy blue". A query is a product's photo and a change of one tag (or
  of two at once); a right answer has the changed tags as wished *and* all other tags that the reference has, including the
  kind of garment.
- ``attribute-drop``: needs both photo and words, after ReMuQ (Luo et al., ACL 2023, arXiv 2306.00424). The reference and the
  wanted product differ in one tag, so the photo alone finds the wrong product. The words name all wanted tags but one, which
  the reference shares; some other product must fit the words with another value of that tag, so the words alone do not
  suffice. Every product with all wanted tags is right.
"""

import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from e2.benchmarks.composed.data.tag_pairs import Pair, draw_pairs, swap_sets
from e2.benchmarks.composed.data.tagged_products import TaggedProducts
from e2.benchmarks.composed.data.tagged_queries import TaggedQueries, TaggedQuery
from e2.benchmarks.composed.data.wishes import WORDINGS, Change, description, wish
from e2.errors import InputError

SWAP, DROP = "attribute-swap", "attribute-drop"
SIZE = 1000  # queries
FEWEST = 10  # about a tag: averages count all tags alike, and of fewer queries chance decides


def draw_queries(
    benchmark: str,
    products: TaggedProducts,
    *,
    swap: Sequence[str] | None = None,
    changes: int = 1,
    size: int = SIZE,
    wordings: int = WORDINGS,
    seed: int = 0,
) -> TaggedQueries:
    """Draws the queries of one protocol.

    Args:
        benchmark: `SWAP` or `DROP`.
        products: of one split.
        swap: the tags that may change; None: all but the kept ones.
        changes: most changes at once, 1 or 2, of swaps.
        size: queries; fewer if the catalogue has fewer.
        wordings: number of wordings of each wish, 1 to 5.
        seed: of the random selection.

    Raises:
        InputError: options out of range, unknown tags, or a catalogue without any such query.
    """
    changes = changes if benchmark == SWAP else 1
    _check(changes, size, wordings)
    catalogue, entities = products.catalogue, products.table.entities
    changing = products.changing(swap)
    pairs = draw_pairs(products.table, swap_sets(products.table, changing, changes), seed)
    made = _swaps(products, pairs, wordings) if benchmark == SWAP else _drops(products, pairs, wordings, seed)
    queries = tuple(itertools.islice(made, size))
    if not queries and benchmark == SWAP:
        raise InputError(
            f"{catalogue.name}: no two products differ in just {changes} of {', '.join(entities)}; "
            "name fewer by --tags, or allow more --changes"
        )
    if not queries:
        raise InputError(
            f"{catalogue.name}: no product fits words about {', '.join(entities)} minus one only with its photo; "
            "name other --tags"
        )
    settings: dict[str, Any] = {"benchmark": benchmark, "dataset": catalogue.name, "split": catalogue.split}
    settings |= {"tags": list(entities), "keep": list(products.keep), "swap": changing}
    queries, too_few = _of_enough(queries)
    settings |= {"changes": changes, "size": size, "seed": seed, "too_few": too_few}
    return TaggedQueries(settings, queries)


def _of_enough(queries: tuple[TaggedQuery, ...]) -> tuple[tuple[TaggedQuery, ...], dict[str, int]]:
    """Queries about tags with at least `FEWEST`, if there are any, and the number of others by tag."""
    counts = Counter(query.about for query in queries)
    if max(counts.values()) < FEWEST:
        return queries, {}
    too_few = {"+".join(about): count for about, count in counts.items() if count < FEWEST}
    return tuple(query for query in queries if counts[query.about] >= FEWEST), too_few


def _check(changes: int, size: int, wordings: int) -> None:
    if changes not in (1, 2):
        raise InputError(f"--changes {changes} is out of range; choose 1 or 2")
    if size < 1:
        raise InputError(f"--size {size} is out of range; ask for at least one query")
    if not 1 <= wordings <= WORDINGS:
        raise InputError(f"--wordings {wordings} is out of range; choose 1 to {WORDINGS}")


def _swaps(products: TaggedProducts, pairs: Iterable[Pair], wordings: int) -> Iterator[TaggedQuery]:
    for pair in pairs:
        old, wanted = (products.table.named(codes) for codes in (products.table.codes[pair.reference], pair.wanted))
        names = [products.table.entities[place] for place in pair.changed]
        changes = [Change(name, old[name], wanted[name]) for name in names]
        yield _query(products, pair, None, [wish(changes, number) for number in range(wordings)])


def _drops(products: TaggedProducts, pairs: Iterable[Pair], wordings: int, seed: int) -> Iterator[TaggedQuery]:
    entities, rng = products.table.entities, np.random.default_rng(seed)
    tuples = np.unique(products.table.codes, axis=0)
    counted: dict[bytes, list[Counter]] = {}  # by the tags that a right answer has
    for pair in pairs:
        has = pair.wanted >= 0
        if (fitting := counted.get(has.tobytes())) is None:
            fitting = counted[has.tobytes()] = _fitting(tuples, has)
        rest = (place for place in np.flatnonzero(has).tolist() if place not in pair.changed)
        if places := [place for place in rest if fitting[place][_without(pair.wanted, place)] > 1]:
            dropped = entities[int(rng.choice(places))]
            said = {name: value for name, value in products.table.named(pair.wanted).items() if name != dropped}
            yield _query(products, pair, dropped, [description(said, number) for number in range(wordings)])


def _fitting(tuples: np.ndarray, has: np.ndarray) -> list[Counter]:
    """For each entity left out: the other tags of a pattern (E,) -> number of its values among products with these."""
    able = np.unique(np.where(has, tuples[(tuples[:, has] >= 0).all(axis=1)], -1), axis=0)
    return [Counter(_without(row, place) for row in able) for place in range(len(has))]


def _without(codes: np.ndarray, place: int) -> tuple[int, ...]:
    return tuple(np.delete(codes, place).tolist())


def _query(products: TaggedProducts, pair: Pair, dropped: str | None, wishes: list[str]) -> TaggedQuery:
    table, ids = products.table, products.ids
    changed = tuple(table.entities[place] for place in pair.changed)
    answers = tuple(ids[row] for row in pair.answers)
    return TaggedQuery(ids[pair.reference], table.named(pair.wanted), changed, dropped, tuple(wishes), answers)

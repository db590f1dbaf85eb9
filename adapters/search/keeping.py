"""Ranks first what keeps the reference's garment and has what the wish names, as far as the products' tags tell.

"In blue" beside a T-shirt says nothing of T-shirts: without this, blue bags rank as high.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from e2.adapters.composed.lexicon import Value
from e2.adapters.composed.rule_editor import RuleEditor, covers
from e2.adapters.search.filters import Filter, Not, OneOf, Or, all_of
from e2.adapters.search.index import ProductSearch
from e2.data.product import tag_of, values_of

NEIGHBOURS = 10  # products nearest to a photo, whose tags tell the photo's
AGREED = 0.5  # share of them that must have the same tag
SEVERAL = 2  # of them that must share a garment, for it to be one that the photo may show


@dataclass(frozen=True)
class Reference:
    """A product, or a photo of one, and how another should differ."""

    wish: str
    editor: RuleEditor  # knows the values of the searched products
    tags: Mapping[str, str]  # its own, or the `agreed_tags` of its photo
    near: Mapping[str, str] = field(default_factory=dict)  # the `near_tags` of its photo


def nearest_tags(products: ProductSearch, vector: np.ndarray) -> list[Mapping[str, str]]:
    """Returns the tags of each of the products nearest to a photo (1, D), in the order of the entities; "" for none."""
    if not products.entities:
        return []
    return [
        {entity: hit.tags.get(entity, "") for entity in products.entities} for hit in products.search(vector, NEIGHBOURS)[0]
    ]


def agreed_tags(nearest: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """Reads a photo's tags off the `nearest_tags`: those that most of them share; others are no more than guesses."""
    best = {entity: found.most_common(1)[0] for entity, found in _counted(nearest).items() if found}
    return {entity: value for entity, (value, count) in best.items() if count > AGREED * len(nearest)}


def near_tags(nearest: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """Returns the values that several of the `nearest_tags` share, though they may not agree on one."""
    shared = {
        entity: [value for value, count in found.most_common() if count >= SEVERAL]
        for entity, found in _counted(nearest).items()
    }
    return {entity: tag_of(values) for entity, values in shared.items() if values}


def _counted(nearest: Sequence[Mapping[str, str]]) -> dict[str, Counter[str]]:
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for tags in nearest:
        for entity, value in tags.items():
            counts[entity].update(values_of(value) if value else ())
    return counts


def kept_tags(reference: Reference) -> dict[str, str]:
    """Returns the reference's garment, or those that its photo may show, as far as the wish does not change it."""
    lexicon, changes = reference.editor.lexicon, reference.editor.read(reference.wish)
    entity = lexicon.kind("garment")
    if entity in changes.puts or entity in changes.different:
        return {}
    known = values_of(reference.tags.get(entity) or reference.near.get(entity, ""))
    left = [value for value in known if value and not any(covers(gone, lexicon.named(entity, value)) for gone in changes.gone)]
    return {entity: tag_of(left)} if left else {}


def keeps(tags: Mapping[str, str], kept: Mapping[str, str]) -> bool:
    """True if a product with these tags has one value of each kept tag."""
    return all(set(values_of(tags.get(entity, ""))) & set(values_of(value)) for entity, value in kept.items())


def wished_tags(products: ProductSearch, reference: Reference) -> dict[str, list[str]]:
    """Returns the values, of tags of the products, that the wish names: with blue also light blue."""
    lexicon, puts = reference.editor.lexicon, reference.editor.read(reference.wish).puts
    known = products.facets() if any(entity in products.entities for entity in puts) else {}
    found = {
        entity: _covered([item.value for item in puts[entity].items], [lexicon.named(entity, name) for name in known[entity]])
        for entity in puts
        if entity in known
    }
    return {entity: names for entity, names in found.items() if names}


def tiers(where: Filter | None, kept: Mapping[str, str], wished: Mapping[str, Sequence[str]]) -> list[Filter | None]:
    """Parts the products that pass: with the kept tags and all wished ones, with some of these, with none, the others."""
    same = all_of(OneOf(entity, values_of(value)) for entity, value in kept.items())
    each = [OneOf(entity, tuple(values)) for entity, values in wished.items()]
    some = Or(tuple(each)) if len(each) > 1 else None
    found: list[Filter | None] = []
    before: list[Filter] = []
    for better in dict.fromkeys([all_of([same, *each]), all_of([same, some]), same]):
        if better is not None:
            found.append(all_of([where, better, *map(Not, before)]))
            before.append(better)
    return [*found, all_of([where, *map(Not, before)])]


def _covered(wanted: Sequence[Value], values: Iterable[Value]) -> list[str]:
    return [value.name for value in values if any(covers(each, value) for each in wanted)]

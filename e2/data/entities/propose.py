"""Proposes entities: columns that look like tags, parts of paths, sorted values of multi-valued cells, fibres in texts."""

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain

from e2.data.entities.rules import EntityRule, fibres_in, key_of, phrases_of
from e2.data.entities.words import COLOUR, MATERIAL, meaning_of
from e2.errors import InputError

Column = Sequence[Sequence[str]]  # the values of each product's cell
PATHS = (">", "/", "|", "::")
SEPARATORS = ("|", ";", ",", "/", "\n")
FEW_WORDS, MANY_WORDS = 5, 8  # a tag has fewer words, on average, than the first; a text more than the second
MOST_VALUES = 1000
OFTEN = 3  # products that an average value of a tag has
SHARE = 0.3  # of the cells that hold a separator, so that it is one
NEW = 5  # products that name a fibre that no list knows
OWN_COLUMN = 1.25  # times as much is a product worth whose value stands in a column of its own
COVERED = 0.02  # of the products that an entity is known for, at least
NO_TAGS = re.compile(
    r"status|availability|condition|published|sku|gtin|mpn|barcode|price|cost|weight|link|url|handle|date|(.*[_ ])?id"
)
NUMBER = re.compile(r"[^\w]?\s?[\d.,]+\s?(?:%|[A-Z]{3}|[^\w\s])?", re.ASCII)
SAID_OF_OTHERS = frozenset(["off", "satisfaction", "discount", "more", "less", "money", "authentic", "original", "brand new"])


@dataclass
class Proposal:
    """Rule for an entity, with how often each of its values occurs."""

    entity: str
    rule: EntityRule
    products: int  # that have a value
    counts: Counter[str] = field(default_factory=Counter)  # value -> products
    unsorted: Counter[str] = field(default_factory=Counter)  # values of the same cells that no word list knows

    @property
    def worth(self) -> float:
        """Products, more for a column of the entity's own."""
        return self.products * (OWN_COLUMN if self.rule.values is None else 1)


class NothingProposed(InputError):
    """No column of a catalogue looks like tags."""


def propose(columns: Mapping[str, Column]) -> list[Proposal]:
    """Proposals for the columns of a catalogue (a cell for each product), one an entity, those of most products first."""
    fibres = _fibres(columns)
    found: dict[str, Proposal] = {}
    for proposal in [one for name, cells in columns.items() for one in _of_column(name, cells, fibres)]:
        least = max(1, COVERED * len(columns[proposal.rule.column]))
        other = found.get(proposal.entity)
        if len(proposal.counts) > 1 and proposal.products >= least and (other is None or proposal.worth > other.worth):
            found[proposal.entity] = proposal
    return sorted(found.values(), key=lambda proposal: -proposal.products)


def _of_column(name: str, cells: Column, fibres: frozenset[str]) -> Iterator[Proposal]:
    filled = [values for values in cells if values]
    texts = [text for values in filled for text in values]
    if (
        not texts
        or NO_TAGS.fullmatch(name.casefold())
        or _share(texts, NUMBER.fullmatch) > 0.5
        or _share(texts, lambda text: text.startswith(("http://", "https://", "//"))) > 0.5
    ):
        return
    words = sum(len(text.split()) for text in texts) / len(texts)
    if separator := _path(texts):
        yield from _of_path(name, cells, separator)
    elif separator := _separator(texts):
        yield from _sorted_values(name, cells, separator, fibres)
    elif sum(len(values) > 1 for values in filled) > SHARE * len(filled):
        yield from _sorted_values(name, cells, None, fibres)
    elif words <= FEW_WORDS:
        yield from _of_tags(name, cells)
    if words > MANY_WORDS and fibres:
        yield from _composition(name, cells, fibres)


def _share(texts: Sequence[str], test: Callable[[str], object]) -> float:
    return sum(bool(test(text)) for text in texts) / len(texts)


def _path(texts: Sequence[str]) -> str | None:
    """Separator of the texts' parts, if they look like paths: few beginnings, more ends."""
    for separator in PATHS:
        parts = [[part.strip() for part in text.split(separator)] for text in texts]
        deep = [path for path in parts if len(path) > 1 and all(path)]
        if len(deep) > 0.5 * len(texts) and sum(map(len, parts)) < 8 * len(parts):
            starts, ends = {path[0] for path in deep}, {path[-1] for path in deep}
            if 3 * len(starts) <= len(ends) and len(starts) <= 20:
                return separator
    return None


def _separator(texts: Sequence[str]) -> str | None:
    """Separator of several values, if many texts hold one and the values are short."""
    for separator in SEPARATORS:
        if sum(separator in text for text in texts) > SHARE * len(texts):
            parts = [part for text in texts for part in text.split(separator)]
            if sum(len(part.split()) for part in parts) <= FEW_WORDS * len(parts):
                return separator
    return None


def _of_path(name: str, cells: Column, separator: str) -> Iterator[Proposal]:
    """Proposes the part of the path with most values that still repeat."""
    rules = [EntityRule(column=name, separator=separator, part=part) for part in (1, 2, 3, -1)]
    proposals = [_counted(_entity(name), rule, cells) for rule in rules]
    usable = [one for one in proposals if len(one.counts) > 1 and one.products >= OFTEN * len(one.counts)]
    yield from [max(usable, key=lambda one: (one.products >= 0.5 * len(cells), len(one.counts)))] if usable else ()


def _of_tags(name: str, cells: Column) -> Iterator[Proposal]:
    proposal = _counted(_entity(name), EntityRule(column=name), cells)
    distinct = len(proposal.counts)
    if not 1 < distinct <= MOST_VALUES or proposal.products < OFTEN * distinct or {*map(key_of, proposal.counts)} <= TRUTHS:
        return
    known = Counter[str]()
    for value, count in proposal.counts.items():
        known[found.entity if (found := meaning_of(value)) else ""] += count
    entity, count = known.most_common(1)[0]
    proposal.entity = entity if entity and count > 0.6 * proposal.products else proposal.entity
    yield proposal


TRUTHS = frozenset(["true", "false", "yes", "no", "0", "1", "y", "n"])


def _sorted_values(name: str, cells: Column, separator: str | None, fibres: frozenset[str]) -> Iterator[Proposal]:
    """Sorts the values of multi-valued cells by the word lists and the fibres that the catalogue's texts name."""
    every = _counted(name, EntityRule(column=name, separator=separator), cells)
    spellings: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    unsorted = Counter[str]()
    for text, count in every.counts.items():
        found = meaning_of(text)
        entity, value = found or ((MATERIAL, key_of(text)) if key_of(text) in fibres else (None, text))
        if entity is None:
            unsorted[text] = count
        elif key_of(text) not in map(key_of, (value, *spellings[entity][value])):
            spellings[entity][value].append(text)
    for entity, values in spellings.items():
        rule = EntityRule(column=name, separator=separator, values=_tuples(values))
        yield _counted(entity, rule, cells, unsorted)


def _composition(name: str, cells: Column, fibres: frozenset[str]) -> Iterator[Proposal]:
    values: dict[str, list[str]] = defaultdict(list)
    for fibre in sorted(fibres):
        value, spelling = _material(fibre) or (fibre, fibre)
        values[value] += [spelling] if spelling not in (value, *values[value]) else []
    yield _counted("composition", EntityRule(column=name, find="fibres", values=_tuples(values)), cells)


def _fibres(columns: Mapping[str, Column]) -> frozenset[str]:
    """Fibres that texts name after percentages: known materials, and what often stands beside them."""
    counts, beside = Counter[str](), Counter[str]()
    for cells in columns.values():
        found = [fibres for values in cells if (fibres := {fibre for text in values for fibre in fibres_in(text)})]
        known = (fibres for fibres in found if any(map(_material, fibres)))
        counts |= Counter(chain.from_iterable(found))  # the most of any column: captions repeat descriptions
        beside |= Counter(chain.from_iterable(known))
    return frozenset(
        fibre
        for fibre, count in counts.items()
        if _material(fibre) or (count >= NEW and 2 * beside[fibre] > count and fibre not in SAID_OF_OTHERS)
    )


def _tuples(spellings: Mapping[str, Sequence[str]]) -> dict[str, tuple[str, ...]]:
    return {value: tuple(others) for value, others in spellings.items()}


def _material(text: str) -> tuple[str, str] | None:
    """Material that a text names, and the part of the text that does: "recycled cotton", "spandex ribbed knit"."""
    found = ((meaning_of(phrase), phrase) for phrase in phrases_of(text))
    return next(((meant.value, phrase) for meant, phrase in found if meant and meant.entity == MATERIAL), None)


def _counted(entity: str, rule: EntityRule, cells: Column, unsorted: Counter[str] | None = None) -> Proposal:
    counts, products = Counter[str](), 0
    for values in cells:
        found = rule.read(values)
        counts.update(found)
        products += bool(found)
    return Proposal(entity, rule, products, counts, unsorted or Counter())


def _entity(column: str) -> str:
    """Name of an entity after a column, e.g. ``product_type`` after "Product Type"; American colours are ours."""
    name = re.sub(r"\W+", "_", column.casefold()).strip("_") or "tag"
    return COLOUR if name in ("color", "colours", "colors") else name

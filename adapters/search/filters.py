"""Parses filters on tags, ``brand == "Nike" and (colour in ["red", "blue"] or not season == "Winter")``, for any engine.

The grammar; words in capitals are tokens, keywords may be in any case:

    filter := both ("or" both)*
    both   := one ("and" one)*
    one    := "not" one | "(" filter ")" | test
    test   := NAME ("==" | "!=" | ["not"] "contains") TEXT | NAME ["not"] "in" "[" TEXT ("," TEXT)* "]"
            | NAME (">" | ">=" | "<" | "<=") NUMBER
    NAME   := a bare word such as sub_category, or a quoted one with blanks
    NUMBER := such as 2010, -3 or 19.99; values that are not numbers pass none of these tests
    TEXT   := "..." or '...', in which a backslash takes the next character as it is

A tag may have several values (`e2.data.product.values_of`), of which ``==`` and ``in`` need one: ``contains`` is another word
for ``==``, and ``!=`` needs that none is the text.

A missing tag counts as the empty text: ``season == ""`` finds products without a season, and ``season != "Winter"`` includes
them. So each test is true or false and ``not`` means the same in every engine.

Each engine makes its own query from the parsed tree. Values are escaped, and names are the engine's own column names, so that
no user's text becomes code.
"""

import math
import operator
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from e2.errors import InputError, printable

LONGEST = 10_000  # characters of a filter; more is a mistake, or an attack on the app
DEEPEST = 50  # nesting of brackets and nots
TOKEN = re.compile(
    r"""\s*(?:(?P<text>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')|(?P<symbol>[=!<>]=|[()\[\],<>])|(?P<word>[^\W\d][\w-]*)|(?P<number>-?\d+(?:\.\d+)?))""",
    re.DOTALL,
)
KEYWORDS = ("and", "or", "not", "in", "contains")
COMPARED = {">": operator.gt, ">=": operator.ge, "<": operator.lt, "<=": operator.le}


@dataclass(frozen=True)
class OneOf:
    """One of the tag's values is among ``values``."""

    entity: str
    values: tuple[str, ...]


@dataclass(frozen=True)
class Not:
    inner: "Filter"


@dataclass(frozen=True)
class And:
    parts: tuple["Filter", ...]


@dataclass(frozen=True)
class Or:
    parts: tuple["Filter", ...]


Filter = OneOf | Not | And | Or


def parse_filter(text: str, entities: Sequence[str], values: Callable[[str], Iterable[str]] = lambda entity: ()) -> Filter:
    """Parses a filter.

    Args:
        text: in the grammar above.
        entities: known names.
        values: gives an entity's values in the products, of which comparisons choose.

    Raises:
        InputError: a syntax error or unknown entity; the message says where.

    >>> parse_filter('brand == "Nike" and not colour in ["red"]', ["brand", "colour"])
    And(parts=(OneOf(entity='brand', values=('Nike',)), Not(inner=OneOf(entity='colour', values=('red',)))))
    """
    if len(text) > LONGEST:
        raise InputError(f"the filter has {len(text):,} characters; {LONGEST:,} are the most")
    return _Parser(text, entities, values).parse()


def equals(tags: Mapping[str, str | Sequence[str]]) -> Filter | None:
    """Makes the filter for one or several values of each tag, all of which must hold; None without any.

    >>> equals({"brand": "Nike", "colour": ["red", "blue"]})
    And(parts=(OneOf(entity='brand', values=('Nike',)), OneOf(entity='colour', values=('red', 'blue'))))
    """
    chosen = {entity: (values,) if isinstance(values, str) else tuple(values) for entity, values in tags.items()}
    return all_of(OneOf(entity, values) for entity, values in chosen.items() if values)


def _divided(part: str, entities: Iterable[str]) -> tuple[str, str, str]:
    """Entity, colon and the rest; of the known entities, which may hold colons themselves, the longest."""
    known = max((entity for entity in entities if part.startswith(f"{entity}:")), key=len, default=None)
    return part.partition(":") if known is None else (known, ":", part[len(known) + 1 :])


def tags_of(chosen: Sequence[str], entities: Iterable[str]) -> dict[str, list[str]]:
    """Parses ``["brand:Nike", "brand:Puma"]`` -> ``{"brand": ["Nike", "Puma"]}``.

    Raises:
        InputError: no colon.

    >>> tags_of(["fit:type:slim", "fit:loose"], ["fit", "fit:type"])
    {'fit:type': ['slim'], 'fit': ['loose']}
    """
    tags: dict[str, list[str]] = {}
    for part in chosen:
        entity, colon, value = _divided(part, entities)
        if not colon:
            raise InputError(f"tag {part[:40]!r}: write entity:value, e.g. brand:Nike")
        tags.setdefault(entity, []).append(value)
    return tags


def ranges_of(chosen: Sequence[str], entities: Iterable[str]) -> dict[str, tuple[float, float]]:
    """Parses ``["price:10..50", "year:2010.."]``; a bound that is left out is infinite.

    Raises:
        InputError: no colon, no dots, a bound that is not a number, or two ranges of one tag.

    >>> ranges_of(["price:10..50", "year:2010.."], ["price", "year"])
    {'price': (10.0, 50.0), 'year': (2010.0, inf)}
    """
    ranges: dict[str, tuple[float, float]] = {}
    for part in chosen:
        entity, colon, bounds = _divided(part, entities)
        low, dots, high = bounds.partition("..")
        lowest = number_of(low) if low.strip() else -np.inf
        highest = number_of(high) if high.strip() else np.inf
        if not (colon and dots) or lowest is None or highest is None:
            what = "write entity:from..to in numbers, e.g. price:10..50 or year:2010.."
            raise InputError(f"range {printable(part[:40])!r}: {what}")
        if entity in ranges:
            raise InputError(f"two ranges of {printable(entity[:40])!r}; give one")
        ranges[entity] = lowest, highest
    return ranges


def numbers_in(entity: str, values: Iterable[str], *tests: tuple[str, float]) -> OneOf:
    """Makes the filter for those of an entity's values that are numbers and pass all tests, such as ``(">=", 10)``."""
    numbers = {value: found for value in values if (found := number_of(value)) is not None}
    passing = [value for value, found in numbers.items() if all(COMPARED[symbol](found, bound) for symbol, bound in tests)]
    return OneOf(entity, tuple(passing))


def all_of(filters: Iterable[Filter | None]) -> Filter | None:
    """Joins filters by *and*; None, which passes everything, without any.

    Filters are joined as trees, not as texts, where a bracket in one could end the other.
    """
    parts = tuple(part for part in filters if part is not None)
    return And(parts) if len(parts) > 1 else next(iter(parts), None)


def entities_of(tree: Filter) -> set[str]:
    """Tags that a filter names."""
    if isinstance(tree, OneOf):
        return {tree.entity}
    parts = (tree.inner,) if isinstance(tree, Not) else tree.parts
    return set().union(*map(entities_of, parts))


def number_of(text: str) -> float | None:
    """Reads a value as a finite number; None if it is none.

    >>> number_of("19.99"), number_of("XL"), number_of("nan"), number_of("36_38")
    (19.99, None, None, None)
    """
    if "_" in text:  # Python would read 36_38 as 3638
        return None
    try:
        found = float(text)
    except ValueError:
        return None
    return found if math.isfinite(found) else None


def quoted(text: str) -> str:
    """Quotes a text as the grammar reads it back."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def mask(tree: Filter, matches: Callable[[str, tuple[str, ...]], np.ndarray]) -> np.ndarray:
    """Mask (N,) of the rows that pass a filter; ``matches(entity, values)`` gives that of a single test."""
    if isinstance(tree, OneOf):
        return matches(tree.entity, tree.values)
    if isinstance(tree, Not):
        return ~mask(tree.inner, matches)
    combine = np.logical_and if isinstance(tree, And) else np.logical_or
    return combine.reduce([mask(part, matches) for part in tree.parts])


class _Parser:
    """Recursive descent over the tokens, a method per rule of the grammar."""

    def __init__(self, text: str, entities: Sequence[str], values: Callable[[str], Iterable[str]]):
        self.text, self.entities, self.values, self.depth, self.next = text, entities, values, 0, 0
        self.tokens = self._split()  # (kind, text, where it starts)

    def parse(self) -> Filter:
        found = self._filter()
        if self._kind() != "end":
            raise self._error("expected and, or, or the end")
        return found

    def _split(self) -> list[tuple[str, str, int]]:
        tokens: list[tuple[str, str, int]] = []
        start, end = 0, len(self.text.rstrip())
        while start < end:
            match = TOKEN.match(self.text, start)
            if match is None:
                where = start + len(self.text[start:]) - len(self.text[start:].lstrip())
                raise InputError(
                    self._message("expected a name, a quoted text, a number, ==, !=, <, >, in, a bracket or a comma", where)
                )
            group = match.lastgroup or ""  # one of the groups always matches
            kind, word = group, match[group]
            if kind == "word" and word.lower() in KEYWORDS:
                kind, word = "keyword", word.lower()
            tokens.append((kind, word, match.start(group)))
            start = match.end()
        return [*tokens, ("end", "", len(self.text))]

    def _filter(self) -> Filter:
        return self._joined("or", Or, lambda: self._joined("and", And, self._one))

    def _joined(self, word: str, kind: type[And] | type[Or], part: Callable[[], Filter]) -> Filter:
        parts = [part()]
        while self._take(word):
            parts.append(part())
        return parts[0] if len(parts) == 1 else kind(tuple(parts))

    def _one(self) -> Filter:
        self.depth += 1
        if self.depth > DEEPEST:
            raise self._error(f"more than {DEEPEST} brackets within each other")
        if self._take("not"):
            found: Filter = Not(self._one())
        elif self._take("("):
            found = self._filter()
            self._expect(")")
        else:
            found = self._test()
        self.depth -= 1
        return found

    def _test(self) -> Filter:
        entity = self._name()
        if self._take("=="):
            return OneOf(entity, (self._text(),))
        if self._take("!="):
            return Not(OneOf(entity, (self._text(),)))
        for symbol in COMPARED:
            if self._take(symbol):
                return numbers_in(entity, self.values(entity), (symbol, self._number()))
        if self._take("not"):
            return Not(self._one_of(entity))
        return self._one_of(entity)

    def _one_of(self, entity: str) -> OneOf:
        if self._take("in"):
            return OneOf(entity, self._list())
        if self._take("contains"):
            return OneOf(entity, (self._text(),))
        raise self._error("expected ==, !=, <, <=, >, >=, in, contains, not in or not contains")

    def _list(self) -> tuple[str, ...]:
        self._expect("[")
        values = [self._text()]
        while self._take(","):
            values.append(self._text())
        self._expect("]")
        return tuple(values)

    def _name(self) -> str:
        kind, word, _ = self.tokens[self.next]
        if kind not in ("word", "text"):
            raise self._error(f"expected a tag, one of {', '.join(self.entities)}")
        name = word if kind == "word" else _unquoted(word)
        if name not in self.entities:
            raise self._error(f"there is no tag {name!r}; there are {', '.join(self.entities) or 'none in this index'}")
        self.next += 1
        return name

    def _text(self) -> str:
        if self._kind() != "text":
            raise self._error('expected a text in quotes, as in brand == "Nike"')
        self.next += 1
        return _unquoted(self.tokens[self.next - 1][1])

    def _number(self) -> float:
        if self._kind() != "number":
            raise self._error("expected a number, as in year > 2010")
        self.next += 1
        return float(self.tokens[self.next - 1][1])

    def _take(self, word: str) -> bool:
        """Consumes a symbol or a keyword, if it is next."""
        kind, here, _ = self.tokens[self.next]
        found = kind in ("symbol", "keyword") and here == word
        self.next += found
        return found

    def _expect(self, word: str) -> None:
        if not self._take(word):
            raise self._error(f"expected {word}")

    def _kind(self) -> str:
        return self.tokens[self.next][0]

    def _error(self, what: str) -> InputError:
        return InputError(self._message(what, self.tokens[self.next][2]))

    def _message(self, what: str, where: int) -> str:
        here = printable(self.text[where : where + 20])
        return f"filter, character {where + 1}: {what}; found {here!r}" if here else f"filter: {what}, but it ends there"


def _unquoted(token: str) -> str:
    return re.sub(r"\\(.)", r"\1", token[1:-1], flags=re.DOTALL)

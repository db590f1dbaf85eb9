"""Reads sizes, prices and other numbers out of a query: "in blue, size 36 or 38", "price under 30", "not in XL".

No photo shows them, so they filter the products by their tags, and an encoder sees the rest of the query. They count beside
the name of their tag, and after *in* if no other tag has such a value.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from e2.adapters.composed.wish_tokens import CUES, LONGEST_CUE, Cue, without_contractions
from e2.adapters.search.filters import Filter, Not, OneOf, all_of, number_of, numbers_in
from e2.adapters.sizes import is_size, size_tags
from e2.spelling import spelling

Facets = Mapping[str, Iterable[str]]
LONGEST = 3  # words of a tag's name, of a value, or of a comparison
_WORD = re.compile(r"[<>]=?|[^\s,;:=!?()<>]*[^\s,;:=!?().<>]")
_COMPARED = {
    **dict.fromkeys(("under", "below", "less than", "cheaper than", "<"), "<"),
    **dict.fromkeys(("over", "above", "more than", ">"), ">"),
    **dict.fromkeys(("up to", "at most", "no more than", "max", "maximum", "<="), "<="),
    **dict.fromkeys(("from", "at least", "min", "minimum", ">="), ">="),
}
_MONEY = frozenset(re.findall(r"\S+", "€ $ £ euro euros eur dollar dollars usd pound pounds gbp"))
_LINKS = frozenset(re.findall(r"\w+", "a an as at available for in is of the with"))  # between a value and what it belongs to
_ALL = frozenset(("all", "any", "every"))  # before a name whose values are excepted
# words that a value may stand before
_ENDS = frozenset(re.findall(r"\w+", "and but for in instead no nor not or please rather with without"))
_FILLERS = (Cue.FILLER, Cue.VERB, Cue.SAME, Cue.START)
_SMALL = (*_FILLERS, Cue.NUMBER, Cue.AND, Cue.OR, Cue.BUT, Cue.BREAK)  # ask for nothing
_JOINT = re.compile(r"^(?:(?:and|or|but)\b[\s,;]*)+|(?:[\s,;]*\b(?:and|or|but))+$", re.IGNORECASE)


@dataclass(frozen=True)
class AskedSizes:
    """Sizes and numbers of a query."""

    rest: str  # the query without them
    told: tuple[str, ...] = ()  # what was understood, in words
    where: Filter | None = None  # passes products that have them

    @property
    def steps(self) -> dict[str, str]:
        return {"only": ", ".join(self.told)} if self.told else {}


def asked_sizes(text: str, facets: Callable[[], Facets], *, alone: bool = False) -> AskedSizes:
    """Reads sizes and numbers out of a query.

    Args:
        text: the query.
        facets: gives entity -> values of the products; not asked for a text without a size or number.
        alone: read a value that makes up a clause, too: "blue, 36". Without a photo it may be the id of a product.

    Example:
        >>> found = asked_sizes("in blue, size 36", lambda: {"size": ["36", "38"], "colour": ["Blue"]})
        >>> found.rest, found.told, found.where
        ('in blue', ('size 36',), OneOf(entity='size', values=('36',)))
    """
    plain = without_contractions(text)
    if not ("size" in plain.lower() or any(is_size(word.strip("€$£")) for word in _WORD.findall(plain))):
        return AskedSizes(text)
    found = _Reader(plain, facets(), alone).read()
    return AskedSizes(
        _rest(plain, found) if found else text, tuple(each.told for each in found), all_of(each.where for each in found)
    )


@dataclass(frozen=True)
class _Asked:
    """A part of the query that was read, from character ``start`` to ``end``."""

    where: Filter
    told: str
    start: int
    end: int


@dataclass(frozen=True)
class _Values:
    """Values that words ``start`` to ``end`` name."""

    where: OneOf
    start: int
    end: int


@dataclass
class _Known:
    """Values of a tag by their spellings, and by their only number: ``42`` of *EU 42*."""

    values: Sequence[str]
    spelt: dict[str, list[str]] = field(default_factory=dict)
    numbered: dict[str, list[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for value in self.values:
            self.spelt.setdefault(_key(value), []).append(value)
            if len(numbers := re.findall(r"\d+(?:[.,]\d+)?", value)) == 1:
                self.numbered.setdefault(_key(numbers[0]), []).append(value)

    def get(self, text: str) -> list[str]:
        return self.spelt.get(_key(text)) or self.numbered.get(_key(text), [])


@lru_cache(maxsize=32)
def _known(values: tuple[str, ...]) -> _Known:
    """Remembers values, of which there may be tens of thousands of prices, from one query to the next."""
    return _Known([value for value in values if value.strip()])


class _Reader:
    """Reads a query word by word; methods take the place of a word and give None where nothing is named."""

    def __init__(self, text: str, facets: Facets, alone: bool):
        self.text, self.alone = text, alone
        self.words = list(_WORD.finditer(text))
        self.tags = {entity: _known(tuple(facets[entity])) for entity in size_tags(facets)}
        self.others = [value for entity, values in facets.items() if entity not in self.tags for value in values]
        self.names = _names(self.tags)
        self.read_to = 0  # words

    def read(self) -> list[_Asked]:
        found: list[_Asked] = []
        place = 0
        while place < len(self.words):
            last = found[-1].where if found else None
            if asked := self._contrasted(last, place) or self._named(place) or self._priced(place) or self._bare(place):
                found.append(asked)
                place = self.read_to
            else:
                place += 1
        return found

    def _named(self, place: int) -> _Asked | None:
        """Reads "size 36", "36 size", or "any size but 36"."""
        if name := self._name(place):
            entity, start = name
            while self._word(start) in ("is", "of", "in"):
                start += 1
            for first, negated in ((start, False), (self._negated(start), True)):
                if first is not None and (found := self._valued(entity, first)):
                    return self._asked(found, place, found.end, negated=negated)
        for entity in self.tags:
            if (found := self._listed(entity, place)) and (name := self._name(found.end)) and name[0] == entity:
                return self._asked(found, place, name[1])
        return None

    def _valued(self, entity: str, place: int) -> _Values | None:
        return self._compared(entity, place) or self._range(entity, place) or self._listed(entity, place)

    def _contrasted(self, last: Filter | None, place: int) -> _Asked | None:
        """Reads "not L" right after "size M"."""
        entity = getattr(getattr(last, "inner", last), "entity", None)
        start = self._negated(place) if entity and place == self.read_to and not self._parted(place) else None
        if entity is None or start is None:
            return None
        name = self._name(start)
        found = self._listed(entity, name[1] if name and name[0] == entity else start)
        return self._asked(found, place, found.end, negated=True) if found else None

    def _negated(self, place: int) -> int | None:
        """Place after the *not*, *other than* or *but* that stands at a word; None without any."""
        if self._word(place) == "but":
            return place + 1 if self._negated(place + 1) is None else self._negated(place + 1)
        return next((place + n for n in range(LONGEST_CUE, 0, -1) if self._cue(place, place + n) is Cue.NOT), None)

    def _priced(self, place: int) -> _Asked | None:
        """Reads "under €30", "under 30 euros" and "cheaper than 30"."""
        entity = self.names.get("price")
        found = self._compared(entity, place) if entity else None
        if found is None:
            return None
        end = found.end + (self._word(found.end) in _MONEY)
        paid = end > found.end or re.search(r"[€$£]|cheaper", self._slice(place, end), re.IGNORECASE)
        return self._asked(found, place, end) if paid else None

    def _bare(self, place: int) -> _Asked | None:
        """Reads "in 36"."""
        owners = [found for entity in self.tags if (found := self._listed(entity, place))]
        if len(owners) != 1 or not self._over(end := owners[0].end):
            return None
        before = place - 1 if self._word(place - 1) in ("a", "an") else place
        follows = self._word(before - 1) == "in" or (self.alone and (not before or self._parted(before)))
        if not follows or spelling(self._slice(place, end)) in map(spelling, self.others):
            return None
        return self._asked(owners[0], place, end)

    def _asked(self, found: _Values, start: int, end: int, *, negated: bool = False) -> _Asked:
        """Makes the filter of words ``start`` to ``end``, and of *in* and *not* before them."""
        links = _LINKS | (_ALL if negated else set())
        while start > self.read_to and not self._parted(start) and self._word(start - 1) in links:
            start -= 1
        negation = start if negated else self._negation(start)
        self.read_to = end
        told = f"{found.where.entity} {self._slice(found.start, found.end)}"
        first, last = self.words[start if negation is None else negation].start(), self.words[end - 1].end()
        if negation is None:
            return _Asked(found.where, told, first, last)
        return _Asked(Not(found.where), f"not {told}", first, last)

    def _negation(self, place: int) -> int | None:
        """Finds the *not*, with nothing but small words after it, that stands before a word."""
        while place > self.read_to and not self._parted(place):
            runs = [(count, self._cue(place - count, place)) for count in range(LONGEST_CUE, 0, -1)]
            count, cue = next(((count, cue) for count, cue in runs if cue), (0, None))
            if cue is Cue.NOT:
                return place - count
            if cue not in _FILLERS:
                return None
            place -= count
        return None

    def _cue(self, start: int, end: int) -> Cue | None:
        return CUES.get(tuple(self._slice(start, end).lower().split()))

    def _compared(self, entity: str, place: int) -> _Values | None:
        """Reads "under 30", or "over 20 and under 40"."""
        tests: list[tuple[str, float]] = []
        end = place
        while found := self._comparison(end + (bool(tests) and self._word(end) in ("and", "but"))):
            test, end = found
            tests.append(test)
        return _Values(numbers_in(entity, self.tags[entity].values, *tests), place, end) if tests else None

    def _comparison(self, place: int) -> tuple[tuple[str, float], int] | None:
        for count in range(LONGEST, 0, -1):
            symbol = _COMPARED.get(self._slice(place, place + count).lower())
            bound, end = self._number(place + count)
            if symbol and bound is not None and self._word(end) not in ("to", "-", "–"):
                return (symbol, bound), end
        return None

    def _range(self, entity: str, place: int) -> _Values | None:
        """Reads "10 to 30"."""
        start = place + (self._word(place) in ("from", "between"))
        joints = ("to", "-", "–", "and") if self._word(place) == "between" else ("to", "-", "–")
        low, joint = self._number(start)
        high, end = self._number(joint + 1)
        if low is None or high is None or self._word(joint) not in joints:
            return None
        return _Values(numbers_in(entity, self.tags[entity].values, (">=", low), ("<=", high)), place, end)

    def _listed(self, entity: str, place: int) -> _Values | None:
        """Reads "36", or "36, 38 or size 40"."""
        found = self._value(entity, place)
        values, end = found or ([], place)
        while found:
            if found := self._value(entity, self._next(entity, end)):
                if self._parted(end) and not self._over(found[1]):
                    break  # "size 36, 2 pockets"
                values, end = values + found[0], found[1]
        return _Values(OneOf(entity, tuple(dict.fromkeys(values))), place, end) if values else None

    def _next(self, entity: str, end: int) -> int:
        """Place of the next value of a list, if there is one: after a comma, or *or* and perhaps the name again."""
        joined = self._word(end) in ("or", "and")
        name = self._name(end + joined)
        place = name[1] if name and name[0] == entity else end + joined
        return place if joined or self._parted(end) else -1

    def _over(self, place: int) -> bool:
        """True if a value may end before a word."""
        return place >= len(self.words) or self._parted(place) or self._word(place) in _ENDS

    def _value(self, entity: str, place: int) -> tuple[list[str], int] | None:
        for count in range(LONGEST, 0, -1):
            if (text := self._slice(place, place + count)) and (found := self.tags[entity].get(text)):
                return found, place + count
        return None

    def _name(self, place: int) -> tuple[str, int] | None:
        for count in range(LONGEST, 0, -1):
            text = self._slice(place, place + count)
            if text[-1:].isalnum() and (entity := self.names.get(spelling(text))):
                return entity, place + count
        return None

    def _number(self, place: int) -> tuple[float | None, int]:
        """Reads a number, also "1,000" and "30,50", and gives the place after it."""
        word, after = self._word(place).strip("€$£"), self._word(place + 1)
        if word.isdigit() and after.isdigit() and self._between(place + 1) == ",":
            return number_of(f"{word}{'' if len(after) == 3 else '.'}{after}"), place + 2
        return number_of(word), place + 1

    def _word(self, place: int) -> str:
        return self.words[place].group().lower() if 0 <= place < len(self.words) else ""

    def _slice(self, start: int, end: int) -> str:
        """Text of some words; empty if there are not so many."""
        if not 0 <= start < end <= len(self.words):
            return ""
        return self.text[self.words[start].start() : self.words[end - 1].end()]

    def _parted(self, place: int) -> bool:
        """True if a comma or the like stands before a word."""
        return bool(self._between(place).strip())

    def _between(self, place: int) -> str:
        """Characters before a word."""
        return self.text[self.words[place - 1].end() : self.words[place].start()] if 0 < place < len(self.words) else ""


def _names(entities: Iterable[str]) -> dict[str, str]:
    """Maps names of tags to them: *shoe_size* by its whole name, and by each word that no other tag's name has."""
    spelt = {entity: [spelling(word) for word in re.findall(r"[^\W_]+", entity)] for entity in entities}
    every = [word for parts in spelt.values() for word in set(parts)]
    single = {word: entity for entity, parts in spelt.items() for word in parts if every.count(word) == 1}
    return single | {spelling(" ".join(parts)): entity for entity, parts in spelt.items()}


def _key(value: str) -> str:
    """Spelling of a size or number: *36.0* is 36, *xl* XL."""
    number = number_of(value.replace(",", "."))
    return f"{number:g}" if number is not None else " ".join(value.casefold().split())


def _rest(text: str, found: Sequence[_Asked]) -> str:
    """Joins what stands around the parts that were read; empty if these are small words alone."""
    edges = [0, *(edge for each in found for edge in (each.start, each.end)), len(text)]
    around = [_JOINT.sub("", text[start:end].strip(" ,;:=.")) for start, end in zip(edges[::2], edges[1::2], strict=True)]
    rest = ", ".join(part for part in around if part)
    return rest if any(CUES.get((word.lower(),)) not in _SMALL for word in _WORD.findall(rest)) else ""

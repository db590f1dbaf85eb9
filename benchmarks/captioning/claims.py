"""Finds what a caption claims of the product itself, among all the values in it.

Left out are values that are denied (*not red*, *without a hood*), that belong to what is worn with it (*pair it with jeans*),
or that describe a part: *a navy lining*, *white stripes*, *the heel of a boot*, *a patch in gold on black*. A brand or a
season on a part is the product's. Of the rest, a caption makes one claim per tag: the first value, and those in the same
clause (*black and white*), up to *with* and the like.

The rules use English words and their order: product titles (*Puma Men Black Logo T-shirt*) are not sentences for a parser.
"""

import re
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile

from e2.benchmarks.captioning.tag_words import COMPONENTS, PATTERNS, WHOLE, WORKED, is_garment, spellings
from e2.spelling import PhraseMatch, spelling, words

Item = tuple[str, str]  # entity and value
Span = tuple[int, int]  # characters

_SENTENCE_END = re.compile(r"[!?;\n]|\.(?=\s)")
_DENIAL = re.compile(
    r"\b(?:(?:no|not|never|without|neither|nor)\b(?!-)|\w+n['’]t\b|free of\b|instead of\b|rather than\b|other than\b|except\b|"
    r"unlike\b|lack(?:s|ing)?\b)",
    re.IGNORECASE,
)
_DENIED = re.compile(r"(?:[^\w.,:;!?]*(?!but\b)\w+){0,5}", re.IGNORECASE)  # reach of a denial
_OTHERS = re.compile(
    r"\b(?:pair(?:s|ed|ing)?(?! of\b)|team(?:s|ed|ing)?|wear|wears|worn|match(?:es|ed|ing)?|styl(?:es?|ed|ing)|goes|go|"
    r"combin(?:es?|ed|ing)|looks?|works?|layer(?:s|ed)?|perfect|ideal|great)\b(?:\W+\w+){0,4}?"
    r"\W+(?P<others>(?:with|over|under|underneath|beneath|alongside|on top of)\b[^.!?;]*)",
    re.IGNORECASE,
)
_LINK = re.compile(r"\b(?:with|featuring|for|over|under|underneath|plus|to)\b|:", re.IGNORECASE)
_LISTED = re.compile(r"\W*(?:on|and|or)?\W*", re.IGNORECASE)
_OF_A_WHOLE = re.compile(r"\s+of\s+(?:an?|the|this|your)\b", re.IGNORECASE)
LITTLE_WORDS = (
    "a an the its this these and or but with without in on at of for from by to into onto under over through around along "
    "across is are was has have it that those sits sit marks mark complete completes make makes calls call ready"
)
ARTICLES = "a an the its this these two three one"
_LITTLE, _ARTICLES = frozenset(LITTLE_WORDS.split()), frozenset(ARTICLES.split())
_COMPONENTS, _PATTERNS, _WORKED = spellings(COMPONENTS), spellings(PATTERNS), spellings(WORKED)
_PARTS = _COMPONENTS | _PATTERNS
_WHOLE = spellings(WHOLE)


FAR, MODIFIERS = 8, 4  # words considered around a value; that may stand between a colour and its part


@dataclass(frozen=True)
class _Token:
    """A word, whether it is a small one, and the characters between it and the previous word."""

    spelling: str
    little: bool
    start: int
    end: int
    gap: str

    @property
    def goes_on(self) -> bool:
        """True if it continues a phrase of nouns and adjectives."""
        return not self.little and self.gap in ("", "-")


def claims(text: str, found: Sequence[PhraseMatch[Item]]) -> list[PhraseMatch[Item]]:
    """Selects those of the values found in a caption (by `Phrases.find`) that it claims for the product, in order."""
    others = [*_denied(text), *(match.span("others") for match in _OTHERS.finditer(text))]
    claimed: dict[str, tuple[int, int]] = {}  # entity -> the clause that claims it
    kept = []
    for sentence in _sentences(text, found):
        for f, of_part in zip(sentence.found, sentence.of_parts(), strict=True):
            if any(start <= f.start < end for start, end in others):
                continue
            items = []
            for entity, value in f.items:
                start, end = claimed.get(entity, (f.start, _clause_end(text, f.end, sentence.end)))
                of_product = spelling(entity) in _WHOLE or not (of_part or sentence.is_aside(f, entity))
                if of_product and start <= f.start < end:
                    claimed[entity] = start, end
                    items.append((entity, value))
            if items:
                kept.append(PhraseMatch(f.start, f.end, tuple(items)))
    return kept


def _denied(text: str) -> Iterator[Span]:
    for denial in _DENIAL.finditer(text):
        reach = _DENIED.match(text, denial.end())
        yield denial.start(), reach.end() if reach else denial.end()


def _clause_end(text: str, start: int, end: int) -> int:
    link = _LINK.search(text, start, end)
    return link.start() if link else end


def _sentences(text: str, found: Sequence[PhraseMatch[Item]]) -> Iterator["_Sentence"]:
    """Splits a text into sentences; a stop inside a value (*U.S. Polo*) ends none."""
    start, inside, rest = 0, {i for f in found for i in range(f.start, f.end)}, deque(found)
    for end in [stop.end() for stop in _SENTENCE_END.finditer(text) if stop.start() not in inside] + [len(text)]:
        here = []
        while rest and rest[0].start < end:
            here.append(rest.popleft())
        yield _Sentence(text, start, end, here)
        start = end


class _Sentence:
    """Characters ``start`` to ``end`` of a text, with the values found there."""

    def __init__(self, text: str, start: int, end: int, found: Sequence[PhraseMatch[Item]]):
        self.text, self.end, self.found = text, end, found
        self.tokens = list(_tokens(text, start, end)) if found else []
        self._places = {token.start: place for place, token in enumerate(self.tokens)}
        self._values = {i for f in found for i in range(f.start, f.end)}

    def of_parts(self) -> list[bool]:
        """Flags values that describe a part, including what is listed right after such a value."""
        all_of_them = self._is_part(list(takewhile(lambda token: token.goes_on, self.tokens[1:]))) and (
            self.tokens[0].spelling in _ARTICLES
        )
        told: list[bool] = []
        for place, f in enumerate(self.found):
            listed = bool(told) and told[-1] and bool(_LISTED.fullmatch(self.text, self.found[place - 1].end, f.start))
            told.append(all_of_them or listed or self._modifies_part(f) or self._in_part(f))
        return told

    def is_aside(self, f: PhraseMatch[Item], entity: str) -> bool:
        """True for *heel* in "the heel of a boot"; for a garment also *belt* in "with a belt"."""
        little = [t.spelling for t in self._before(f) if t.little and t.spelling not in _ARTICLES]
        governed = is_garment(entity) and little[-1:] in (["with"], ["under"], ["over"])
        return governed or bool(_OF_A_WHOLE.match(self.text, f.end))

    def _before(self, f: PhraseMatch[Item]) -> list[_Token]:
        """Words before a value, back to a punctuation mark."""
        place = start = self._places[f.start]
        while start > max(0, place - FAR) and self.tokens[start].gap in ("", "-"):
            start -= 1
        return self.tokens[start:place]

    def _is_part(self, phrase: Sequence[_Token]) -> bool:
        return bool(phrase) and phrase[-1].spelling in _PARTS and phrase[-1].start not in self._values

    def _modifies_part(self, f: PhraseMatch[Item]) -> bool:
        """True for *white* in "white breton stripes", but not in "white check shirt"; for *steel* in "steel strap watch"."""
        place = self._places[f.start]
        after = (token for token in self.tokens[place : place + FAR] if token.start >= f.end)
        phrase = list(takewhile(lambda token: token.goes_on, after))
        component = self._is_part(phrase[:1]) and phrase[0].spelling in _COMPONENTS
        return component or (len(phrase) <= MODIFIERS and self._is_part(phrase))

    def _in_part(self, f: PhraseMatch[Item]) -> bool:
        """True for *cream* in "a check in cream", "a hem banded in cream" and "lined with cream satin"."""
        near = self._before(f)[-3:]
        if len(near) < 2 or near[-1].spelling not in ("in", "of", "with", "by"):
            return False
        rest = near[:-1]
        return self._is_part(rest) or bool({rest[-1].spelling, "".join(t.spelling for t in rest)} & _WORKED)


def _tokens(text: str, start: int, end: int) -> Iterator[_Token]:
    last = start
    for word in words(text[start:end]):
        first, after = start + word.start, start + word.end
        yield _Token(word.spelling, text[first:after].casefold() in _LITTLE, first, after, text[last:first].strip())
        last = after

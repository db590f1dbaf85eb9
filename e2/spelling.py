"""Compares spellings, for everything that looks for a catalogue's values in a text.

Case, accents, hyphens, apostrophes and spaces do not count, nor do plural and possessive endings, British and American
spelling, and ``&`` for *and*: *T-Shirts*, ``tshirt``, ``tee shirt`` and ``tee`` are one, as are *Levi's* and ``LEVIS``. A
value is found where the words of a text spell it, never inside another word, and never inside a longer value.

Example:
    >>> Phrases({"Shirts": 1, "T-Shirts": 2, "Navy Blue": 3}).find("A navy-blue tshirt")
    [PhraseMatch(start=2, end=11, items=(3,)), PhraseMatch(start=12, end=18, items=(2,))]
"""

import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from typing import Generic, TypeVar

from e2.extras import extra

T = TypeVar("T")

_MARKS = "\u0300-\u036f\u00ad\u200b-\u200d\u2060\ufe0f"  # combining accents, and letters that are not seen
_IDEOGRAPH = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"  # each is a word: these scripts use no spaces
_LETTERS = rf"(?:[^\W_{_IDEOGRAPH}][{_MARKS}]*)+"
_WORD = re.compile(rf"[{_IDEOGRAPH}]|{_LETTERS}(?:['’ʼ]{_LETTERS})*|&")
_STOP = re.compile(r"[,;:!?()]|\.(?=\s)")  # ends a phrase; "U.S. Polo" may cross it, as it is spelled with one itself
# their singulars mean something else
_PLURAL_ONLY = ("shorts", "tights", "flats", "heels", "glasses", "bottoms", "falls")
_IRREGULAR = {"women": "woman", "men": "man", "children": "child", "feet": "foot", "scarves": "scarf", "leaves": "leaf"}
_VARIANTS = {"jewellery": "jewelry", "pyjama": "pajama", "aluminium": "aluminum", "&": "and"}
_VARIANTS |= {"tee": "tshirt", "teeshirt": "tshirt"}
_AMERICAN = (  # endings and stems; both spellings map to one, so a rule may overreach without harm
    (re.compile(r"grey"), "gray"),
    (re.compile(r"(?<=\w\w)our(?=$|s$|ed|ing|ful|less|ist)"), "or"),
    (re.compile(r"(?<=[aeiou])ll(?=e[nd]$|ing$)"), "l"),
    (re.compile(r"(?<=[tb])re$"), "er"),
    (re.compile(r"ogue$"), "og"),
    (re.compile(r"is(?=e[sd]?$|ing$|ations?$)"), "iz"),
    (re.compile(r"chequ"), "check"),
)
_IMITATED = ("leather", "fur", "suede", "shearling", "pearl", "silk", "wool", "denim")
_IMITATIONS = ("faux", "fake", "vegan", "imitation", "artificial", "synthetic", "mock", "pu")
_OTHER_THINGS = (  # no shirt, white, lace or leather, whatever words a catalogue has
    *("t-shirt", "off white", "lace-up"),
    *(f"{imitation} {material}" for imitation in _IMITATIONS for material in _IMITATED),
)
_COMMON = re.compile(
    "a|after|all|also|an|and|any|are|as|at|be|before|both|but|by|can|do|each|every|first|for|from|get|has|have|he|her|here|him|"
    "his|how|i|if|in|into|is|it|its|just|last|like|made|me|more|most|much|my|never|next|no|nor|not|now|of|off|on|once|one|only|"
    "or|other|our|out|over|own|same|she|so|some|still|such|than|that|the|their|them|then|"
    "there|these|they|this|those|to|too|under|up|us|very|was|we|were|what|when|where|which|while|who|why|will|with|without|"
    "you|your",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Word:
    """A word of a text: its common spelling, and the characters ``start`` to ``end`` that spell it."""

    spelling: str
    start: int
    end: int


@dataclass(frozen=True)
class PhraseMatch(Generic[T]):
    """A match: characters ``start`` to ``end`` of a text spell a phrase that stands for ``items``."""

    start: int
    end: int
    items: tuple[T, ...]


def words(text: str) -> list[Word]:
    """Words of a text, in order."""
    return [Word(_common(match.group()), match.start(), match.end()) for match in _WORD.finditer(text)]


@lru_cache(maxsize=2**16)
def spelling(text: str) -> str:
    """Normalised spelling of a value, without spaces: values of equal spelling are the same.

    Numbers stay apart: *4.5* is not *45*. A text without letters or digits is its own spelling.

    Example:
        >>> spelling("Tee-Shirts") == spelling("t shirt"), spelling("Mod'acc") == spelling("Mod-Acc")
        (True, True)
    """
    return _join(word.spelling for word in words(text)) or text.strip()


def same_values(values: Iterable[str]) -> tuple[str, ...]:
    """Key that lists of the same values share, in whatever order and spelling.

    >>> same_values(["Boho", "casual"]) == same_values(["Casual", "boho", "boho"])
    True
    """
    return tuple(sorted(set(map(spelling, values))))


def by_spelling(values: Iterable[str]) -> dict[str, str]:
    """Maps each spelling to the first value that has it."""
    found: dict[str, str] = {}
    for value in values:
        found.setdefault(spelling(value), value)
    return found


@lru_cache(maxsize=2**16)
def stem(word: str) -> str:
    """Stem that a word shares with its adjective and verb forms: *striped* and *stripes*, *hooded* and *hood*.

    Coarser than a spelling (Snowball's stemmer, Porter 2001): to recognise a wish, not to tell values apart.
    """
    with extra("composed", "a wish in words"):
        from nltk.stem.snowball import SnowballStemmer
    common = _common(word)
    return common if common in _PLURAL_ONLY else SnowballStemmer("english").stem(common)


class Phrases(Generic[T]):
    """Finds phrases in texts.

    Args:
        phrases: phrase -> its item, or such pairs. Phrases of one spelling stand for all their items together. A phrase that
            is a common English word, or a single letter or two (the brands *AND*, *W*), is found only as it is written.
    """

    def __init__(self, phrases: Mapping[str, T] | Iterable[tuple[str, T]]):
        self._items: dict[str, dict[T, None]] = {}
        self._exact: dict[str, set[str]] = {}
        self._over_stops: set[str] = set()
        self._most_letters = 0
        for phrase in _OTHER_THINGS:
            self._items[spelling(phrase)] = {}
            self._most_letters = max(self._most_letters, len(phrase))
        for phrase, item in phrases.items() if isinstance(phrases, Mapping) else phrases:
            found = words(phrase)
            if not found:
                continue
            key, written = _join(word.spelling for word in found), phrase[found[0].start : found[-1].end]
            self._items.setdefault(key, {})[item] = None
            self._most_letters = max(self._most_letters, len(key))
            if len(key) <= 2 or _COMMON.fullmatch(written):
                self._exact.setdefault(key, set()).add(written)
            if _STOP.search(written):
                self._over_stops.add(key)

    def find(self, text: str) -> list[PhraseMatch[T]]:
        """Phrases in a text, in order: the longest at each position, without overlaps."""
        found: list[PhraseMatch[T]] = []
        text_words, place = words(text), 0
        while place < len(text_words):
            length, key = self._longest_at(text, text_words, place)
            if length and self._items[key]:
                end = text_words[place + length - 1].end
                found.append(PhraseMatch(text_words[place].start, end, tuple(self._items[key])))
            place += max(length, 1)
        return found

    def _longest_at(self, text: str, text_words: list[Word], place: int) -> tuple[int, str]:
        """Length in words and key of the longest phrase that begins at a word; 0 if none does."""
        longest, joined, start = (0, ""), "", text_words[place].start
        for length, word in enumerate(islice(text_words, place, None), start=1):
            joined = _join([joined, word.spelling])
            if len(joined) > self._most_letters:
                break
            if joined in self._items and self._may_be(joined, text[start : word.end]):
                longest = length, joined
        return longest

    def _may_be(self, key: str, written: str) -> bool:
        exact = key not in self._exact or written in self._exact[key]
        return exact and (key in self._over_stops or not _STOP.search(written))


def _join(spellings: Iterable[str]) -> str:
    joined = ""
    for part in spellings:
        joined += f".{part}" if joined[-1:].isdigit() and part[:1].isdigit() else part
    return joined.replace("tshirtshirt", "tshirt")  # "tee shirt"


@lru_cache(maxsize=2**16)
def _common(written: str) -> str:
    """Spelling shared by all forms of a word."""
    plain = "".join(c for c in unicodedata.normalize("NFKD", written) if c.isalnum() or c in "'’ʼ&").casefold()
    word = re.sub(r"['’ʼ]", "", re.sub(r"['’ʼ]s$", "", plain))
    for pattern, american in _AMERICAN:
        word = pattern.sub(american, word)
    word = _singular(word)
    return _VARIANTS.get(word, word)


def _singular(word: str) -> str:
    if word in _IRREGULAR:
        return _IRREGULAR[word]
    if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", *_PLURAL_ONLY)):
        word = word[:-2] if word.endswith(("ches", "shes", "sses", "xes")) else word[:-1]
        word = _IRREGULAR.get(word, word)
    return f"{word[:-2]}y" if len(word) > 3 and word.endswith("ie") else word  # hoodie, hoodies; berry, berries

"""A wish in plain words -> what is to come and what is to go.

Understands: is / has / with / in / more / make it ... (to come), without / no / not / less / remove ... (to go), and
X instead of Y, X rather than Y, replace Y with X, change Y to X, from Y to X, not Y but X (both).
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

_CLAUSE = re.compile(r"\s*(?:[,;.!]|\band\b|\bbut\b|\bwhile\b|\balso\b|&)\s*", re.IGNORECASE)
_REPLACE = (  # (pattern, group that comes, group that goes)
    (re.compile(r"(.*?)\b(?:instead of|rather than|in place of|and not|in lieu of)\b(.*)", re.I), 1, 2),
    (re.compile(r".*?\b(?:replace|swap|exchange)\b(.*?)\b(?:with|for|by)\b(.*)", re.I), 2, 1),
    (re.compile(r".*?\b(?:change|turn|switch)\b(.*?)\b(?:to|into)\b(.*)", re.I), 2, 1),
    (re.compile(r".*?\bfrom\b(.*?)\bto\b(.*)", re.I), 2, 1),
    (re.compile(r".*?\bnot\b(.*?),?\s*\bbut\b(.*)", re.I), 2, 1),
    (re.compile(r"(.*?),\s*\bnot\b(.*)", re.I), 1, 2),
)
_GO = re.compile(
    r"^(.*?)\b(?:without|no longer|no|not|isn't|aren't|doesn't have|does not have|don't want|removes?|drop|lose|less|fewer|"
    r"minus|never|lacks|lacking)\b(.*)$",
    re.IGNORECASE,
)
_COME = re.compile(
    r"\b(?:is|are|was|has|have|having|with|in|more|make|made|much|comes|add|adds|it|its|it's|this|that|which|same|one|by|from|but|"
    r"want|wants|wanted|would|like|please|show|me|i|should|be|of|much|very|a bit|a little|bit|little|slightly|the|a|an|any|"
    r"instead|only|just|some|item|product|something|similar|to|colored|coloured|for|as|looking|wear)\b",
    re.IGNORECASE,
)
_LESS = re.compile(r"\b(?:less|fewer)\b", re.IGNORECASE)
_VERB = re.compile(r"\b(?:is|are|has|have|with|in|more|add|make|wears|features?)\b", re.IGNORECASE)
_PROPERTY = re.compile(r"\b(?:colou?r|brand|season|material|type|wearer|use|usage)\b", re.IGNORECASE)
STEMS = {  # comparatives, as what they come to
    "darker": "dark",
    "lighter": "light",
    "brighter": "bright",
    "paler": "pale",
    "longer": "long",
    "shorter": "short",
    "tighter": "tight",
    "looser": "loose",
    "slimmer": "slim",
    "wider": "wide",
    "narrower": "narrow",
    "bigger": "big",
    "larger": "large",
    "smaller": "small",
    "thicker": "thick",
    "thinner": "thin",
    "higher": "high",
    "lower": "low",
    "fancier": "elegant",
    "dressier": "dressy",
    "sportier": "sporty",
    "plainer": "plain",
    "baggier": "baggy",
}
INSTEAD = {  # what a thing that is to go leaves behind: a text encoder hears "logo" in "without a logo"
    "sleeve": "sleeveless",
    "sleeves": "sleeveless",
    "straps": "strapless",
    "strap": "strapless",
    "pattern": "plain",
    "patterned": "plain",
    "print": "plain",
    "prints": "plain",
    "printed": "plain",
    "logo": "plain",
    "logos": "plain",
    "graphic": "plain",
    "graphics": "plain",
    "text": "plain",
    "colourful": "plain",
    "colorful": "plain",
    "formal": "casual",
    "casual": "formal",
    "dark": "light",
    "light": "dark",
    "bright": "pale",
    "long": "short",
    "short": "long",
    "tight": "loose",
    "loose": "tight",
    "plain": "patterned",
}


@dataclass(frozen=True)
class Change:
    """One clause of a wish: the words to come, the words to go; either may be empty."""

    come: str = ""
    go: str = ""


def parse_wish(wish: str) -> list[Change]:
    """The changes a wish asks for, in its order; words that say nothing are left out."""
    whole = _replacement(wish)
    if whole and not _CLAUSE.search(whole.come) and not _CLAUSE.search(whole.go):
        return [whole]
    changes: list[Change] = []
    going = False
    for clause in _clauses(wish):
        both = _replacement(clause)
        if both:
            changes.append(both)
            going = False
            continue
        match = _GO.match(clause)
        going = bool(match) or (going and not _VERB.search(clause))
        if match:
            changes += [Change(come=c) for c in filter(None, [_plain(match[1])])]
            changes += _gone(_plain(match[2]), weaker=bool(_LESS.search(clause)))
        elif going:
            changes += _gone(_plain(clause), weaker=False)
        elif words := _plain(clause):
            changes.append(Change(come=words))
    return changes


def _clauses(wish: str) -> Iterator[str]:
    """Parts between commas and conjunctions; "and not X" stays with what it is set against."""
    start = 0
    for mark in _CLAUSE.finditer(wish):
        if re.match(r"not\b", wish[mark.end() :], re.I) and not re.match(r"not\b", wish[start:], re.I):
            continue
        yield wish[start : mark.start()].strip()
        start = mark.end()
    yield wish[start:].strip()


def _replacement(text: str) -> Change | None:
    """X instead of Y, in any of its forms."""
    for pattern, come, go in _REPLACE:
        match = pattern.fullmatch(text.strip(" .,!?"))
        if match is None:
            continue
        named = _plain(match[go]) or _PROPERTY.search(match[go])  # "change the colour to red" names no old one
        if named and _plain(match[come]):
            return Change(come=_plain(match[come]), go=_plain(match[go]))
    return None


def _gone(words: str, *, weaker: bool) -> list[Change]:
    """Words to go, and what they leave behind where that has a name."""
    if not words:
        return []
    last = words.split()[-1].lower()
    return [Change(come=INSTEAD.get(last, ""), go="" if weaker and last in INSTEAD else words)]


def _plain(text: str) -> str:
    """The words that carry meaning, comparatives as what they come to."""
    words = _COME.sub(" ", _PROPERTY.sub(" ", text)).strip(" .,;!?").split()
    return " ".join(STEMS.get(word.lower(), word) for word in words)

"""Tokenises a wish: cue words, values, and unknown words."""

import re
import unicodedata
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from enum import Enum

from e2.adapters.composed.fashion_words import PROPERTIES, read_words
from e2.adapters.composed.lexicon import Lexicon, Value, ValueMention
from e2.spelling import stem

_WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)*")
_NOT = re.compile(r"\b(do|does|did|is|are|was|has|have|were|had|would|should|could|must|need)n'?t\b", re.IGNORECASE)
_SHORT = (
    (re.compile(r"\b(?:can't|cannot)\b", re.IGNORECASE), "can not"),
    (re.compile(r"\bwon't\b", re.IGNORECASE), "will not"),
    (re.compile(r"\bain'?t\b", re.IGNORECASE), "is not"),
    (re.compile(r"\bw/o(?:ut)?\b", re.IGNORECASE), "without"),
    (re.compile(r"\bno longer\b", re.IGNORECASE), "no more"),  # no comparative
    (re.compile(r"\bw/", re.IGNORECASE), "with "),
    (re.compile(r"\bi'd\b", re.IGNORECASE), "i would"),
    (re.compile(r"\bi'm\b", re.IGNORECASE), "i am"),
    (re.compile(r"\bit's\b", re.IGNORECASE), "it is"),
)


Cue = Enum(  # role of a token
    "Cue",
    "NOT LESS MORE START VERB REPLACE CHANGE DIFFERENT SAME ANY AND OR BUT FREE AGAINST BREAK NUMBER FILLER PROPERTY VALUE "
    "UNKNOWN",
)


@dataclass(frozen=True)
class Token:
    """A word or phrase of a wish."""

    cue: Cue
    text: str  # as written, with comparatives reduced
    value: Value | None  # of a ``VALUE``
    start: int  # character in `plain_wish`'s result
    end: int


_LISTS: dict[str, str] = read_words("wish_words.yaml")
FOREIGN = frozenset(_LISTS.pop("FOREIGN").split())  # words that no English wish contains
CUES = {tuple(phrase.split()): Cue[name] for name, listed in _LISTS.items() for phrase in listed.split("|")}
LONGEST_CUE = max(map(len, CUES))
_KINDS = {word: kind for kind, listed in PROPERTIES.items() for word in listed.split()}


def tokens_of(wish: str, lexicon: Lexicon, known: Collection[str] = ()) -> list[Token]:
    """Tokenises a wish, in order.

    Args:
        known: stems of further words, those of the caption, which are values of the kind ``word``.
    """
    text = plain_wish(wish, lexicon)
    mentions = {mention.start: mention for mention in lexicon.mentions(text)}
    found: list[Token] = []
    words = list(_WORD.finditer(text))
    index = end = 0
    while index < len(words):
        start = words[index].start()
        if re.search(r"[,;:!?()]|\.(?:\s|$)|\s[-–—]\s", text[end : start + 1]):
            found.append(Token(Cue.BREAK, ",", None, end, start))
        token = _cue(text, words, index)
        mention = mentions.get(start)
        if mention and (token is None or _longer(mention, token) or _is_name(text, mention)):
            token = Token(Cue.VALUE, text[mention.start : mention.end], mention.value, mention.start, mention.end)
        for each in [token] if token else _single(text, start, words[index].end(), lexicon, known):
            found.append(each)
        end = max(found[-1].end, words[index].end())
        while index < len(words) and words[index].start() < end:
            index += 1
    return found


def plain_wish(wish: str, lexicon: Lexicon) -> str:
    """Normalises apostrophes, contractions and comparatives of a wish."""
    return _WORD.sub(lambda match: _base(match.group(), lexicon), without_contractions(wish))


def without_contractions(wish: str) -> str:
    """Normalises apostrophes and contractions.

    >>> without_contractions("I don’t want it w/ a hood")
    'I do not want it with a hood'
    """
    text = re.sub(r"['’ʼ`´]", "'", unicodedata.normalize("NFKC", wish))
    text = _NOT.sub(r"\1 not", text)
    for pattern, full in _SHORT:
        text = pattern.sub(full, text)
    return text


def _base(word: str, lexicon: Lexicon) -> str:
    lowered = word.lower()
    if (lowered,) in CUES or not lowered.endswith(("er", "est")) or lexicon.value_of(word):
        return word
    return lexicon.adjective(lowered) or word


def _longer(mention: ValueMention, token: Token) -> bool:
    """True if a value takes precedence over a small word: if longer or as long, except for cue words."""
    return mention.end > token.end or token.cue in (Cue.FILLER, Cue.PROPERTY, Cue.NUMBER)


def _is_name(text: str, mention: ValueMention) -> bool:
    """True if capitals mark a small word as a name, the brand AND."""
    return text[mention.start : mention.end].isupper() and not text.isupper()


def _cue(text: str, words: list[re.Match], index: int) -> Token | None:
    for count in range(min(LONGEST_CUE, len(words) - index), 0, -1):
        run = words[index : index + count]
        between = text[run[0].start() : run[-1].end()]
        cue = CUES.get(tuple(word.group().lower() for word in run))
        if cue and (count == 1 or not re.search(r"[,;:.!?]", between)):
            return Token(cue, between.lower(), None, run[0].start(), run[-1].end())
    word = words[index].group().lower()
    if word in _KINDS:
        return Token(Cue.PROPERTY, word, None, words[index].start(), words[index].end())
    return Token(Cue.NUMBER, word, None, words[index].start(), words[index].end()) if word.isdigit() else None


def _single(text: str, start: int, end: int, lexicon: Lexicon, known: Collection[str]) -> Iterator[Token]:
    """Yields the tokens of a word that is no cue or value as it stands."""
    word = text[start:end]
    root = word[:-4] if word.lower().endswith("less") and len(word) > 6 else ""
    if root and (value := lexicon.value_of(root)):  # "collarless"
        yield Token(Cue.NOT, word, None, start, end - 4)
        yield Token(Cue.VALUE, root, value, start, end)
    elif stem(word) in known:
        yield Token(Cue.VALUE, word, Value("word", word, f"word:{stem(word)}"), start, end)
    elif value := lexicon.misspelt(word.lower()):
        yield Token(Cue.VALUE, value.name, value, start, end)
    else:
        yield Token(Cue.UNKNOWN, word, None, start, end)

"""Tokenises a wish: cue words, values, and unknown words."""

import re
import unicodedata
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum

from e2.adapters.composed.fashion_words import PROPERTIES, read_words
from e2.adapters.composed.lexicon import GRADES, SHORTEST_MISSPELT, Lexicon, Value, ValueMention, sort_of
from e2.spelling import spelling, stem

_WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)*")
_WITHOUT = (  # "collarless", "unlined"
    re.compile(r"(?P<root>\w{3,})less", re.IGNORECASE),
    re.compile(r"un(?P<root>\w{4,})", re.IGNORECASE),
)
_ARTICLE = re.compile(r"(?<!by )(?<!from )\b(?:an?|the)(?: \w+)? $", re.IGNORECASE)
_NOT = re.compile(
    r"\b(do|does|did|is|are|was|has|have|were|had|would|should|could|must|need)nt\b|\b([a-z]+)n't\b", re.IGNORECASE
)
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
    "NOT LESS MORE OPTIONAL ENOUGH START VERB REPLACE CHANGE DIFFERENT SAME ANY AND OR BUT FREE AGAINST BREAK NUMBER FILLER "
    "PROPERTY VALUE UNKNOWN",
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
_CUE_WORDS = frozenset(word for phrase in CUES for word in phrase)
_TURNING = {  # words that turn a wish round, worth finding if misspelt
    word
    for phrase, cue in CUES.items()
    for word in phrase
    if cue in (Cue.NOT, Cue.LESS, Cue.ANY, Cue.REPLACE) and len(word) >= SHORTEST_MISSPELT
}
_SIGNS = (  # between two words
    (re.compile(r"[-=]+>|[→⇒➔]"), Cue.AGAINST, "->"),
    (re.compile(r"\s>\s"), Cue.FILLER, "than"),
    (re.compile(r"[,;:!?()|•·\n]|\.(?:\s|$)|\s[-–—]\s"), Cue.BREAK, ","),
    (re.compile(r"[/&+]"), Cue.AND, "and"),
)
_KINDS = {word: kind for kind, listed in PROPERTIES.items() for word in listed.split()}


def tokens_of(wish: str, lexicon: Lexicon, known: Collection[str] = ()) -> list[Token]:
    """Tokenises a wish, in order.

    Args:
        known: stems of further words, those of the caption, which are values of the kind ``word``.
    """
    text = plain_wish(wish, lexicon, known)
    mentions = {mention.start: mention for mention in lexicon.mentions(text)}
    found: list[Token] = []
    words = list(_WORD.finditer(text))
    index = end = 0
    while index < len(words):
        start = words[index].start()
        if (sign := _sign(text[end : start + 1])) and not (found and found[-1].cue is Cue.NOT and text[end] in ":\n"):
            found.append(Token(*sign, None, end, start))
        token = _cue(text, words, index)
        mention = mentions.get(start)
        if mention and (token is None or _longer(mention, token) or _is_name(text, mention, mentions.values())):
            found.extend(_valued(text, mention, lexicon, mentions))
        elif token:
            found.append(token)
        else:
            found.extend(_single(text, start, words[index].end(), lexicon, known))
        end = max(found[-1].end, words[index].end())
        while index < len(words) and words[index].start() < end:
            index += 1
    return found


def plain_wish(wish: str, lexicon: Lexicon, known: Collection[str] = ()) -> str:
    """Normalises apostrophes, contractions and comparatives of a wish, and corrects misspelt words that turn it round."""
    text = _WORD.sub(lambda match: _base(match.group(), lexicon), without_contractions(wish))
    named = {place for mention in lexicon.mentions(text) for place in range(mention.start, mention.end)}

    def corrected(match: re.Match) -> str:
        word = match.group().lower()
        right = match.start() in named or word in _CUE_WORDS or stem(word) in known or lexicon.misspelt(word)
        return match.group() if right else lexicon.nearest(word, _TURNING) or match.group()

    return _WORD.sub(corrected, text)


def without_contractions(wish: str) -> str:
    """Normalises apostrophes and contractions.

    >>> without_contractions("I don’t want it w/ a hood")
    'I do not want it with a hood'
    """
    text = re.sub(r"['’ʼ`´]", "'", unicodedata.normalize("NFKC", wish))
    for pattern, full in _SHORT:
        text = pattern.sub(full, text)
    return _NOT.sub(lambda match: f"{match[1] or match[2]} not", text)


def _base(word: str, lexicon: Lexicon) -> str:
    lowered = word.lower()
    if (lowered,) in CUES or not lowered.endswith(GRADES) or lexicon.value_of(word):
        return word
    return lexicon.adjective(lowered) or word


def _sign(between: str) -> tuple[Cue, str] | None:
    """Role and text of the signs between two words."""
    return next(((cue, text) for pattern, cue, text in _SIGNS if pattern.search(between)), None)


def _longer(mention: ValueMention, token: Token) -> bool:
    """True if a value takes precedence over a small word: if longer or as long, except for cue words."""
    small = token.cue in (Cue.FILLER, Cue.PROPERTY, Cue.NUMBER)
    return mention.end > token.end or (small and mention.end == token.end)


def _is_name(text: str, mention: ValueMention, mentions: Collection[ValueMention]) -> bool:
    """True if a small word is a name: in capitals like the brand AND, though not as in "red AND black"; or "by Only"."""
    word, before = text[mention.start : mention.end], text[: mention.start].split()[-1:]
    joins = {mention.start - 1, mention.end + 1} <= {edge for each in mentions for edge in (each.start, each.end)}
    return (word.isupper() and not text.isupper() and not joins) or (word[0].isupper() and before in (["by"], ["from"]))


def _valued(text: str, mention: ValueMention, lexicon: Lexicon, mentions: Mapping[int, ValueMention]) -> Iterator[Token]:
    """Yields the tokens of a value: *no sleeves* are a negation and sleeves, and "a gap" is not a brand."""
    written = text[mention.start : mention.end]
    first, _, rest = written.partition(" ")
    if CUES.get((first.lower(),)) is Cue.NOT and (value := lexicon.value_of(rest)):
        yield Token(Cue.NOT, first.lower(), None, mention.start, mention.start + len(first))
        yield Token(Cue.VALUE, rest, value, mention.end - len(rest), mention.end)
    elif _is_common_noun(text, mention, lexicon, mentions):
        yield Token(Cue.UNKNOWN, written, None, mention.start, mention.end)
    else:
        yield Token(Cue.VALUE, written, mention.value, mention.start, mention.end)


def _is_common_noun(text: str, mention: ValueMention, lexicon: Lexicon, mentions: Mapping[int, ValueMention]) -> bool:
    """True if a brand's name is a word like others: in small letters, after an article that belongs to no garment."""
    if mention.kind != lexicon.kind("brand") or not text[mention.start : mention.end].islower():
        return False
    behind = mentions.get(mention.end + 1)
    described = behind is not None and sort_of(behind.value) == "garment"
    return bool(_ARTICLE.search(text[: mention.start])) and not described


def _cue(text: str, words: list[re.Match], index: int) -> Token | None:
    for count in range(min(LONGEST_CUE, len(words) - index), 0, -1):
        run = words[index : index + count]
        between = text[run[0].start() : run[-1].end()]
        cue = CUES.get(tuple(word.group().lower() for word in run))
        if cue and (count == 1 or not re.search(r"[,;:.!?]", between)):
            return Token(cue, between.lower(), None, run[0].start(), run[-1].end())
    word = spelling(words[index].group())
    if word in _KINDS:
        return Token(Cue.PROPERTY, word, None, words[index].start(), words[index].end())
    return Token(Cue.NUMBER, word, None, words[index].start(), words[index].end()) if word.isdigit() else None


def _single(text: str, start: int, end: int, lexicon: Lexicon, known: Collection[str]) -> Iterator[Token]:
    """Yields the tokens of a word that is not a cue or value as it stands."""
    word = text[start:end]
    root = next((match["root"] for form in _WITHOUT if (match := form.fullmatch(word))), "")
    if root and (value := lexicon.value_of(root)):
        yield Token(Cue.NOT, word, None, start, end)
        yield Token(Cue.VALUE, root, value, start, end)
    elif stem(word) in known:
        yield Token(Cue.VALUE, word, Value("word", word, f"word:{stem(word)}"), start, end)
    elif value := lexicon.misspelt(word.lower()):
        yield Token(Cue.VALUE, value.name, value, start, end)
    else:
        yield Token(Cue.UNKNOWN, word, None, start, end)

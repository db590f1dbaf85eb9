"""Parses a wish in plain words: wanted and unwanted values, and words that were not understood.

The grammar is one of scopes. *Not*, *without*, *anything but* ... and, weaker, *too*, *less* ... open a negative scope. It
ends at punctuation, at *but*, at words that start anew (*I want*, *more*), at a verb or *with*, *in* after its first value,
and at *and* before a value of another kind ("no stripes and black"); *or* continues it. *Replace X with Y* and *from X to Y*
have both scopes. Elsewhere values are wanted.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace

from e2.adapters.composed.fashion_words import ADDED, NOUNS, PLACED_BEHIND, PROPERTIES
from e2.adapters.composed.lexicon import Lexicon, Value, sort_of
from e2.adapters.composed.wish_tokens import FOREIGN, Cue, Token, tokens_of

_MODIFIERS = ("colour", "material", "pattern", "size", "weight", "width", "height", "shade", "length", "surface", "fit")
_OF_PARTS = ("size", "width", "height", "length", "shade", "colour", "weight")  # continuations of "the sleeves are too ..."
_SMALL = (Cue.FILLER, Cue.VERB, Cue.SAME, Cue.BREAK)  # between a value and a word that rejects it: "grey? No thanks"


@dataclass(frozen=True)
class Item:
    """A value that a wish names."""

    value: Value
    text: str  # in the wish's words, with attributes: "two white stripes"
    wanted: bool
    weak: bool = False  # less of it, not none of it
    either: bool = False  # one of the alternatives that *or* joins
    beside: bool = False  # another garment that comes with the product: "with a black belt"


@dataclass(frozen=True)
class Wish:
    """Parsed wish."""

    items: tuple[Item, ...] = ()
    different: tuple[str, ...] = ()  # kinds whose present value is to be replaced, whatever it is
    not_understood: tuple[str, ...] = ()  # ignored words
    foreign: bool = False  # not in English, so that nothing is taken


def parse_wish(wish: str, lexicon: Lexicon, known: Collection[str] = ()) -> Wish:
    """Reads a wish.

    Args:
        known: stems of further words that it may name, those of the caption.

    Example:
        >>> found = parse_wish("no stripes, black", Lexicon())
        >>> [(item.value.name, item.wanted) for item in found.items]
        [('striped', False), ('black', True)]
    """
    tokens = tokens_of(wish, lexicon, known)
    unknown = [token.text for token in tokens if token.cue is Cue.UNKNOWN]
    if any(word.lower() in FOREIGN or any(letter.isalpha() and letter > "\u024f" for letter in word) for word in unknown):
        return Wish(not_understood=tuple(wish.split()), foreign=True)
    reader = _Reader(_phrases(tokens), lexicon)
    reader.read()
    return Wish(tuple(reader.items), tuple(dict.fromkeys(reader.different)), tuple(unknown))


def _phrases(tokens: Sequence[Token]) -> list[Token]:
    """Joins values to the thing right after them that they describe: "two small white stripes"."""
    found: list[Token] = []
    for token in tokens:
        if token.value is not None and is_thing(token.text, token.value):
            while found and found[-1].end + 1 >= token.start and _describes(found[-1]):
                token = replace(token, text=f"{found[-1].text} {token.text}", start=found.pop().start)
        found.append(token)
    return found


def is_thing(text: str, value: Value) -> bool:
    """True if words for a value name a thing that a product has (stripes, a hood), not a quality of it (striped, hooded)."""
    last = text.lower().split()[-1]
    return last in NOUNS or value.kind == "word" or (sort_of(value) in ADDED and not last.endswith(("ed", "y")))


def _describes(token: Token) -> bool:
    if token.value is None or is_thing(token.text, token.value):
        return token.cue is Cue.NUMBER
    return sort_of(token.value) in _MODIFIERS


@dataclass
class _Reader:
    """Reads the tokens, keeping the open scope."""

    tokens: Sequence[Token]
    lexicon: Lexicon
    items: list[Item] = field(default_factory=list)
    different: list[str] = field(default_factory=list)
    wanted: bool = True
    weak: bool = False
    opened_by: str = ""
    last: Value | None = None  # the previous value in a negative scope
    joined: bool = False  # "and" has just been read
    either: bool = False
    any: bool = False
    differs: bool = False
    prefers: bool = False  # "prefer" has been read, and "to" or "over" may follow
    moving: bool = False  # between "replace" or "from" and "with" or "to"
    joint: str = ""  # the "with" or "to" that ended it
    part: int | None = None  # index of a part's item that may be described further: "the sleeves are ..."
    after_with: int | None = None  # number of items before a "with" that has just been read

    def read(self) -> None:
        for index, token in enumerate(self.tokens):
            if token.cue not in (Cue.VALUE, Cue.FILLER):
                self.after_with = None
            handler = getattr(self, f"_{token.cue.name.lower()}", None)
            if handler is not None:
                handler(token, index)

    def _open(self, token: Token, *, weak: bool) -> None:
        self.wanted, self.weak, self.opened_by, self.last, self.joined = False, weak, token.text, None, False

    def _close(self) -> None:
        self.wanted, self.weak, self.last, self.joined, self.moving = True, False, None, False, False

    def _not(self, token: Token, index: int) -> None:
        if self._ends_clause(index):  # "hood removed", "grey? No."
            self._against(token, index)
            return
        if token.text != "not":
            self.part = None
        self._open(token, weak=False)

    def _less(self, token: Token, index: int) -> None:
        if token.text == "too" and self._ends_clause(index):
            return  # "with a hood too"
        if token.text == "less" and self._ends_clause(index):  # "hood-less"
            self._free(token, index)
            return
        self._open(token, weak=True)

    def _more(self, token: Token, index: int) -> None:
        self._close()
        self.prefers = "prefer" in token.text

    _start = _more

    def _break(self, token: Token, index: int) -> None:
        if not self.wanted and token.text == "," and self._is_listed(index):
            self.joined = True
            return
        self._close()
        self.any = self.differs = self.either = False
        self.part = None
        if self._moves_again(index):
            self._replace(token, index)

    def _but(self, token: Token, index: int) -> None:
        if self.any:
            self.any = False
            self._open(token, weak=False)
        else:
            self._break(token, index)

    def _and(self, token: Token, index: int) -> None:
        self.joined, self.part = True, None
        if self._moves_again(index):
            self._replace(token, index)

    def _or(self, token: Token, index: int) -> None:
        self.either, self.part = True, None
        if self.items and self.wanted and self.items[-1].wanted:
            self.items[-1] = replace(self.items[-1], either=True)

    def _any(self, token: Token, index: int) -> None:
        self.any = True

    def _verb(self, token: Token, index: int) -> None:
        if token.text == "with" and not self.moving:
            self.after_with = len(self.items)
        elif token.text == "with":
            self.joint = token.text
        if self.joined or self.last is not None or (self.moving and token.text == "with"):
            self._close()
        if token.text in ("with", "in"):
            self.part = None

    def _replace(self, token: Token, index: int) -> None:
        self._open(token, weak=False)
        self.moving = True

    def _change(self, token: Token, index: int) -> None:
        if self._moves_on(index):
            self._replace(token, index)
        elif token.text != "from":
            self.differs = True

    def _filler(self, token: Token, index: int) -> None:
        if self.moving and token.text in ("to", "into", "for", "by"):
            self.joint = token.text
            self._close()
        elif token.text in ("off", "out") and self._ends_clause(index):  # "flowers out, dots in"
            self._free(token, index)
        elif self._compares(token, index):
            self._open(token, weak=False)

    def _compares(self, token: Token, index: int) -> bool:
        """True if the alternative follows: "more black than grey", "black over grey", "prefer black to grey"."""
        before, after = self.tokens[index - 1], next((t for t in self.tokens[index + 1 :] if t.cue is not Cue.FILLER), None)
        if token.text == "than":
            return before.cue in (Cue.VALUE, Cue.UNKNOWN, Cue.PROPERTY)
        values = after and after.value and before.value and sort_of(after.value) == sort_of(before.value)
        return bool(values) and (token.text == "over" or (self.prefers and token.text == "to"))

    def _different(self, token: Token, index: int) -> None:
        self.differs = True

    def _same(self, token: Token, index: int) -> None:
        if not self.wanted and not self.moving:
            self.differs = True  # "not the same colour"

    def _property(self, token: Token, index: int) -> None:
        rejected = not (self.wanted or self.weak or self.moving) and self._next(index) is not Cue.VALUE  # "except the colour"
        if self.differs or rejected:
            kind = next(kind for kind, listed in PROPERTIES.items() if token.text in listed.split())
            self.different.append(self.lexicon.kind(kind))
            self.differs = False

    def _unknown(self, token: Token, index: int) -> None:
        self.part = None

    def _free(self, token: Token, index: int) -> None:
        if self.tokens[index - 1].cue is Cue.VALUE:  # "logo free"
            self._against(token, index)

    def _against(self, token: Token, index: int) -> None:
        before = next((each for each in reversed(self.tokens[:index]) if each.cue not in _SMALL), None)
        if self.items and before is not None and before.cue is Cue.VALUE:  # "grey? No thanks"
            self.items[-1] = replace(self.items[-1], wanted=False)
        elif token.text.startswith("no "):  # "no way grey"
            self._open(token, weak=False)

    def _value(self, token: Token, index: int) -> None:
        assert token.value is not None
        if self.differs and token.text.lower() in PROPERTIES.get(sort_of(token.value), "").split():
            self._property(token, index)  # "another print"
            return
        if self.last is not None and not self._goes_on(token.value):
            self._close()
        item = Item(token.value, token.text, self.wanted, self.weak, self.either and self.wanted)
        if self.part is not None and sort_of(token.value) in _OF_PARTS:
            item = self._of_part(token, item)
        elif sort_of(token.value) == "part" and token.text == token.text.split()[-1]:
            self.part = len(self.items)
        if self.after_with is not None and sort_of(token.value) == "garment":
            item = self._beside(item)
        self.items.append(item)
        self.last = None if self.wanted else token.value
        self.joined = self.either = self.any = self.differs = False

    def _goes_on(self, value: Value) -> bool:
        """True if the negative scope of the previous value extends to this one."""
        assert self.last is not None
        if self.either:
            return True
        return _alike(self.last, value) if self.joined else sort_of(self.last) != sort_of(value)

    def _of_part(self, token: Token, item: Item) -> Item:
        """Turns ``the sleeves are long`` into ``long sleeves``."""
        assert self.part is not None
        part = self.items.pop(self.part)
        self.part = None
        text = f"{token.text} {part.text}"
        return replace(item, text=text, value=self.lexicon.value_of(text) or replace(part.value, concept=part.value.concept))

    def _beside(self, item: Item) -> Item:
        """Gives a garment that comes with the product the qualities that stand before it."""
        qualities = self.items[self.after_with :]
        del self.items[self.after_with :]
        self.after_with = None
        return replace(item, text=" ".join([*(each.text for each in qualities), item.text]), beside=True)

    def _next(self, index: int) -> Cue | None:
        return self.tokens[index + 1].cue if index + 1 < len(self.tokens) else None

    def _ends_clause(self, index: int) -> bool:
        return self._next(index) in (None, Cue.BREAK, Cue.AND, Cue.BUT)

    def _is_listed(self, index: int) -> bool:
        """True if similar values follow, joined by *or* or *and*: "no logo, text or print"."""
        joined = False
        for token in self.tokens[index + 1 :]:
            if token.value is not None:
                if self.last is None or not _alike(self.last, token.value):
                    return False
                if joined:
                    return True
            elif token.cue in (Cue.OR, Cue.AND):
                joined = True
            elif token.cue is not Cue.FILLER and (joined or token.cue is not Cue.BREAK):
                return False
        return False

    def _moves_again(self, index: int) -> bool:
        """True if a second change follows: "change grey to red and the stripes to dots"."""
        rest = [token for token in self.tokens[index + 1 :] if token.text == self.joint or token.cue is not Cue.FILLER]
        return len(rest) > 1 and rest[0].cue is Cue.VALUE and bool(self.joint) and rest[1].text == self.joint

    def _moves_on(self, index: int) -> bool:
        """True if *to*, *into*, *with* or *for* follows in the clause."""
        for token in self.tokens[index + 1 :]:
            if token.cue in (Cue.BREAK, Cue.BUT):
                return False
            if token.text in ("to", "into") or (token.text in ("with", "for") and self.tokens[index].text != "from"):
                return True
        return False


def _alike(first: Value, second: Value) -> bool:
    """True if *and* joins both under one negation: two colours, or two things that a product has."""
    things = ("pattern", "word", *PLACED_BEHIND)
    return sort_of(first) == sort_of(second) or (sort_of(first) in things and sort_of(second) in things)

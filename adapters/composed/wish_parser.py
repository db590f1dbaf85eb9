"""Parses a wish in plain words: wanted and unwanted values, and words that were not understood.

The grammar is one of scopes. *Not*, *without*, *anything but* ... and, weaker, *too*, *less* ... open a negative scope. It
ends at punctuation, at *but*, at words that start anew (*I want*, *more*), at a verb or *with*, *in* after its first value,
at *and* before a value of another kind ("no stripes and black"), and at a value right after a thing ("no stripes black");
*or* continues it. *Replace X with Y*, *substitute Y for X* and *from X to Y* have both scopes. What *need not be* is
ignored. Elsewhere values are wanted.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace

from e2.adapters.composed.fashion_words import ADDED, NOUNS, PLACED_BEHIND, PROPERTIES
from e2.adapters.composed.lexicon import Lexicon, Value, sort_of
from e2.adapters.composed.wish_tokens import FOREIGN, Cue, Token, tokens_of

_MODIFIERS = ("colour", "material", "pattern", "size", "weight", "width", "height", "shade", "length", "surface", "fit")
_OF_PARTS = ("size", "width", "height", "length", "shade", "colour", "weight")  # continuations of "the sleeves are too ..."
_CLAUSE_ENDS = (Cue.BREAK, Cue.AND, Cue.BUT)
_EXCEPTIONS = ("except", "except for", "excluding", "other than", "apart from", "aside from", "save for", "barring")
_INWARDS = ("substitut", "swap in", "swapped in", "swapping in")  # what they name first comes in, if "for" follows
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
    inwards: int | None = None  # items before a "substitute", whose first values come in if "for" follows
    optional: bool = False  # "need not be" has been read
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
        self.optional, self.inwards = False, None

    def _not(self, token: Token, index: int) -> None:
        if self._ends_clause(index) or self._follows(index):  # "hood removed", "grey? No."
            self._against(token, index)
            return
        if token.text in _EXCEPTIONS and self._after_negation(index):
            self._except()
            return
        if token.text != "not":
            self.part = None
        self._open(token, weak=False)

    def _follows(self, index: int) -> bool:
        """True if a rejection stands behind its value: "grey I do not want", "red is a colour I do not want"."""
        before = next((token for token in reversed(self.tokens[:index]) if token.cue is not Cue.FILLER), None)
        before = self._before(index) if before is not None and before.cue is Cue.PROPERTY else before
        after = self._following(index)
        if _names_kind(after, self._before(index)) and self.tokens[index - 1].cue is Cue.VERB:
            return True  # "red is not the colour I want"
        return before is not None and before.cue is Cue.VALUE and (after is None or after.cue in _CLAUSE_ENDS)

    def _after_negation(self, index: int) -> bool:
        """True if what is excepted is something unwanted: "no colour except red", "no red, except the logo"."""
        return not self.wanted or (self.tokens[index - 1].cue is Cue.BREAK and bool(self.items) and not self.items[-1].wanted)

    def _except(self) -> None:
        allowed = bool(self.items) and not self.items[-1].wanted
        self._close()
        self.optional = allowed

    def _optional(self, token: Token, index: int) -> None:
        self._close()
        self.optional = True

    def _enough(self, token: Token, index: int) -> None:
        if self.tokens[index - 1].cue is Cue.VALUE and not self.wanted and self.items:  # "not dark enough"
            self.items[-1] = replace(self.items[-1], wanted=True, weak=False)
            self._close()

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
        if token.text in ("make", "makes") and self._recolours(index):
            self._open(token, weak=False)

    def _replace(self, token: Token, index: int) -> None:
        before = self._before(index)
        replaced = token.text.endswith("ed") and before is not None and before.value is not None and self.items
        self._open(token, weak=False)
        self.moving = True
        if replaced:  # "grey replaced by red"
            self.items[-1] = replace(self.items[-1], wanted=False)
        if token.text.startswith(_INWARDS):
            self.inwards = len(self.items) - bool(replaced)

    def _change(self, token: Token, index: int) -> None:
        if self._moves_on(index):
            self._replace(token, index)
        elif self._recolours(index):
            self._open(token, weak=False)
        elif token.text != "from":
            self.differs = True

    def _filler(self, token: Token, index: int) -> None:
        if self.moving and token.text in ("to", "into", "for", "by"):
            self.joint, inwards = token.text, self.inwards
            self._close()
            if token.text == "for" and inwards is not None:  # "substitute red for grey"
                self.items[inwards:] = [replace(item, wanted=True) for item in self.items[inwards:]]
                self._open(token, weak=False)
        elif token.text in ("to", "into") and self._is_exchange(index):  # "grey to red"
            self.items[-1] = replace(self.items[-1], wanted=False)
        elif token.text in ("off", "out") and self._ends_clause(index):  # "flowers out, dots in"
            self._free(token, index)
        elif self._compares(token, index):
            self._open(token, weak=False)

    def _compares(self, token: Token, index: int) -> bool:
        """True if the alternative follows: "more black than grey", "black over grey", "prefer black to grey"."""
        before, after = self.tokens[index - 1], self._following(index)
        if token.text == "than":  # not "longer than this"
            return before.cue in (Cue.VALUE, Cue.UNKNOWN, Cue.PROPERTY) and not (after and after.cue is Cue.SAME)
        return _same_sort(before, after) and (token.text == "over" or (self.prefers and token.text == "to"))

    def _is_exchange(self, index: int) -> bool:
        """True for one value *to* another, alone in their clause."""
        starts = index == 1 or all(token.cue in (Cue.FILLER, Cue.SAME) for token in self.tokens[: index - 1])
        return starts and bool(self.items) and _same_sort(self.tokens[index - 1], self._following(index))

    def _recolours(self, index: int) -> bool:
        """True if two values of a sort follow: "make the grey red"."""
        first, second, *_ = *self._after(index), None, None
        return _same_sort(first, second)

    def _after(self, index: int) -> list[Token]:
        """Tokens after one, without fillers."""
        return [token for token in self.tokens[index + 1 :] if token.cue is not Cue.FILLER]

    def _following(self, index: int) -> Token | None:
        """The next token that is not a filler."""
        return next(iter(self._after(index)), None)

    def _before(self, index: int) -> Token | None:
        """The last token before one that is neither small nor names the kind of the value before it."""
        last, *further = *(each for each in reversed(self.tokens[:index]) if each.cue not in _SMALL), None
        named = next(
            (each for each in further if each and each.cue not in (Cue.MORE, Cue.NUMBER)), None
        )  # "the only", "the one"
        return named if _names_kind(last, named) else last

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
        before = self._before(index)
        if self.items and before is not None and before.cue is Cue.VALUE:  # "grey? No thanks"
            self.items[-1] = replace(self.items[-1], wanted=False)
        elif token.text.startswith("no "):  # "no way grey"
            self._open(token, weak=False)

    def _value(self, token: Token, index: int) -> None:
        assert token.value is not None
        if self.optional:
            return
        of_kind = self.differs or (self.any and self.wanted)
        if of_kind and token.text.lower() in PROPERTIES.get(sort_of(token.value), "").split():
            self._property(token, index)  # "another print"
            return
        if self.last is not None and self._is_new(token, index):
            self.part = None
            self._close()
        elif self.last is not None and not self._goes_on(token.value):
            self._close()
        item = Item(token.value, token.text, self.wanted, self.weak, self.either and self.wanted)
        if self.part is not None and sort_of(token.value) in _OF_PARTS:
            item = self._of_part(token, item)
        elif sort_of(token.value) == "part" and is_thing(token.text, token.value) and " " not in token.text:
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

    def _is_new(self, token: Token, index: int) -> bool:
        """True if a value right after an unwanted one is not part of it: "no stripes black", "not striped red"."""
        before = self.tokens[index - 1]
        if before.value is None or token.value is None or is_thing(token.text, token.value):
            return False
        if is_thing(before.text, before.value):
            return True
        after_cue = index > 1 and self.tokens[index - 2].cue in (Cue.NOT, Cue.LESS)
        return after_cue and sort_of(token.value) == "colour" and (self._ends_clause(index) or self._next(index) is Cue.OR)

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
        return self._next(index) in (None, *_CLAUSE_ENDS)

    def _is_listed(self, index: int) -> bool:
        """True if similar values follow, joined by *or* or *and*: "no logo, text or print"."""
        joined = False
        for token in self.tokens[index + 1 :]:
            if token.value is not None:
                if self.last is None or not _alike(self.last, token.value):
                    return False
                if joined:
                    return True
            elif token.cue in (Cue.OR, Cue.AND) or token.text == "nor":
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


def _same_sort(first: Token | None, second: Token | None) -> bool:
    """True if both tokens are values of one sort."""
    values = [token.value for token in (first, second) if token and token.value]
    return len(values) == 2 and sort_of(values[0]) == sort_of(values[1])


def _names_kind(token: Token | None, named: Token | None) -> bool:
    """True if a token is the word for the kind of another's value: colour, of red."""
    if token is None or token.cue is not Cue.PROPERTY or named is None or named.value is None:
        return False
    return token.text in PROPERTIES.get(sort_of(named.value), "").split()


def _alike(first: Value, second: Value) -> bool:
    """True if *and* joins both under one negation: two colours, or two things that a product has."""
    things = ("pattern", "word", *PLACED_BEHIND)
    return sort_of(first) == sort_of(second) or (sort_of(first) in things and sort_of(second) in things)

"""Offline rewriter: edits a caption, or tags, by a wish. No model, every step readable."""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from e2.adapters.composed.caption_edits import cut_out, put_before, put_behind, put_instead, sentence_at
from e2.adapters.composed.fashion_words import ADDED, ANY_PATTERN, HOLDS, LEAVES, OPPOSITES, PLACED_BEHIND, PLAIN
from e2.adapters.composed.lexicon import Lexicon, Value, ValueMention, sort_of
from e2.adapters.composed.rewriting import Rewriting
from e2.adapters.composed.wish_parser import Item, Wish, is_thing, parse_wish
from e2.data.product import tag_of, values_of
from e2.spelling import stem, words

FOREIGN = "the wish is not in English"
NOTHING = "no word of the wish was understood"
ALREADY = "the caption says so already"


def worded(tag: str) -> str:
    """Words of a tag in a text, of several values one after another."""
    return " ".join(values_of(tag))


@dataclass(frozen=True)
class Put:
    """Wanted values of one kind, with their words; ``joint`` joins several."""

    items: tuple[Item, ...]
    joint: str

    @property
    def text(self) -> str:
        """Wording in a caption: things in the wish's words, qualities by their names."""
        return f" {self.joint} ".join(item.text if _is_thing(item) else item.value.name for item in self.items)

    @property
    def concepts(self) -> set[str]:
        return {item.value.concept for item in self.items}


@dataclass(frozen=True)
class Changes:
    """A wish as changes of a product."""

    puts: dict[str, Put]  # new values of kinds that have one value
    parts: tuple[Item, ...]  # things to add
    gone: tuple[Value, ...]  # values to remove
    unwanted: tuple[Value, ...]  # those of them that results should not have
    different: tuple[str, ...]  # kinds whose present value is to be replaced, whatever it is
    wish: Wish

    @property
    def nothing(self) -> str:
        """Reason why nothing changed, if so."""
        if self.wish.foreign:
            return FOREIGN
        return ALREADY if self.puts or self.parts or self.gone or self.different else NOTHING


class RuleEditor:
    """Rewrites captions by wishes.

    Args:
        vocabulary: entity -> values of a catalogue, to know its brands, colours and garments by name.
    """

    name = "rules"

    def __init__(self, vocabulary: Mapping[str, Sequence[str]] | None = None):
        self.lexicon = Lexicon(vocabulary)

    @property
    def info(self) -> dict[str, str]:
        return {"rewriter": self.name}

    def rewrite(self, captions: Sequence[str], wishes: Sequence[str]) -> list[Rewriting]:
        """Rewrites N captions by N wishes."""
        return [self.edit_caption(caption, wish) for caption, wish in zip(captions, wishes, strict=True)]

    def read(self, wish: str, caption: str = "") -> Changes:
        """Parses the changes of a wish; words of the caption are known too."""
        known = {stem(word.spelling) for word in words(caption) if len(word.spelling) > 2}
        return self._changes(parse_wish(wish, self.lexicon, known))

    def edit_caption(self, caption: str, wish: str) -> Rewriting:
        """Edits a caption: values named by the wish replace old ones of their kind; the rest is added or removed."""
        changes = self.read(wish, caption)
        edited, unwanted = caption, list(changes.unwanted)
        for kind, put in changes.puts.items():
            edited = self._put(edited, kind, put, changes.gone)
        new = set().union(*(put.concepts for put in changes.puts.values()), (item.value.concept for item in changes.parts))
        for value in changes.gone:
            edited = self._without(edited, value, new)
        for kind in changes.different:
            unwanted += [m.value for m in self.lexicon.mentions(caption) if m.kind == kind and m.value.concept not in new]
            edited = self._take_out(
                edited, [m for m in self.lexicon.mentions(edited) if m.kind == kind and m.value.concept not in new]
            )
        for item in changes.parts:
            edited = self._add(edited, item)
        kept = edited == caption
        reason = changes.nothing if kept else ""
        return Rewriting(edited, "kept" if kept else "rewritten", reason, changes.wish.not_understood, unwanted)

    def edit_tags(self, tags: Mapping[str, str], wish: str) -> tuple[dict[str, str], Rewriting]:
        """Edits tags by the wish (named ones changed, unwanted ones removed); also returns the result in words."""
        changes = self.read(wish)
        old = {entity: [self.lexicon.named(entity, name) for name in values_of(tag)] for entity, tag in tags.items()}
        unwanted = [*changes.unwanted, *(value for entity in changes.different for value in old.get(entity, ()))]
        left: dict[str, list[str]] = {}
        for entity, values in old.items():
            going = () if entity in changes.puts else values if entity in changes.different else changes.gone
            pairs = zip(values_of(tags[entity]), values, strict=True)
            left[entity] = [name for name, value in pairs if not any(covers(other, value) for other in going)]
        edited = {entity: tag_of(names) for entity, names in left.items() if names}
        edited |= {kind: put.text for kind, put in changes.puts.items()}
        text = " ".join([*map(worded, edited.values()), *(item.text for item in changes.parts)])
        kept = text == " ".join(map(worded, tags.values()))
        reason = changes.nothing if kept else ""
        return edited, Rewriting(text, "kept" if kept else "rewritten", reason, changes.wish.not_understood, unwanted)

    def _changes(self, wish: Wish) -> Changes:
        coming = [item for item in wish.items if item.wanted and item.value.kind != "word"]
        going = [item for item in wish.items if not item.wanted]
        kinds = {item.value.kind for item in coming}
        unwanted = []
        for item in going:
            opposite = self._opposite(item)
            if opposite and opposite.value.kind not in kinds:
                coming.append(opposite)
            if not (opposite and item.weak):
                unwanted.append(item.value)
        parts = tuple(item for item in coming if item.beside or sort_of(item.value) in ADDED)
        puts: dict[str, list[Item]] = {}
        for item in coming:
            if item not in parts:
                puts.setdefault(item.value.kind, []).append(item)
        gone = tuple(item.value for item in going)
        joined = {kind: Put(tuple(items), "or" if any(i.either for i in items) else "and") for kind, items in puts.items()}
        return Changes(joined, parts, gone, tuple(unwanted), wish.different, wish)

    def _opposite(self, item: Item) -> Item | None:
        """Opposite of a removed quality: long -> short, sleeves -> sleeveless."""
        name = item.value.concept.partition(":")[2] or item.value.name
        other = LEAVES.get(name) if sort_of(item.value) == "part" else OPPOSITES.get(name)
        if other is None and (described := item.text.lower().split())[1:]:  # "long sleeves", "big logo"
            first = OPPOSITES.get(described[0]) if item.weak else None
            other = " ".join([first, *described[1:]]) if first else None
            if other and self.lexicon.value_of(other) is None:
                return Item(item.value, other, True)
        value = other and self.lexicon.value_of(other)
        return Item(value, value.name, True) if value else None

    def _put(self, caption: str, kind: str, put: Put, gone: Sequence[Value]) -> str:
        """Inserts values in place of the old one of their kind; without one, before the garment or at the end."""
        old = [mention for mention in self.lexicon.mentions(caption) if mention.kind == kind]
        thing, described = _is_thing(put.items[0]), len(put.items[0].text.split()) > 1
        if described and put.text.lower() in caption.lower():
            return caption
        if {mention.value.concept for mention in old} >= put.concepts and not (thing and described):
            return caption
        if thing:
            return put_behind(self._take_out(caption, old), put.text)
        if old:
            first = old[-1] if kind == self.lexicon.kind("garment") else old[0]  # a "denim shirt dress" is a dress
            if link := re.search(r"\bwith\b", caption[old[0].start : first.start]):  # "jeans with a belt" are jeans
                first = [m for m in old if m.start < old[0].start + link.start()][-1]
            replaced = next((m for m in old if any(covers(value, m.value) for value in gone)), first)
            return put_instead(caption, replaced.start, replaced.end, put.text)
        garment = None if sort_of(put.items[0].value) in PLACED_BEHIND else self._garment(caption)
        return put_before(caption, garment.start if garment else None, put.text)

    def _add(self, caption: str, item: Item) -> str:
        """Adds a part, or describes the one that is there: a low heel for a high one."""
        if not any(mention.value.concept == item.value.concept for mention in self.lexicon.mentions(caption)):
            return put_behind(caption, item.text)
        for quality in self.lexicon.mentions(item.text):
            if quality.value.concept != item.value.concept:
                caption = self._describe(caption, item.value, quality)
        return caption

    def _describe(self, caption: str, part: Value, quality: ValueMention) -> str:
        """Gives a part of the caption a quality, instead of the one of that kind right before it."""
        said = self.lexicon.mentions(caption)
        place = next(place for place, mention in enumerate(said) if mention.value.concept == part.concept)
        for old in said[place - 1 : place]:
            if old.kind == quality.kind and re.fullmatch(r"\s(?:[\w-]+\s)?", caption[old.end : said[place].start]):
                return put_instead(caption, old.start, old.end, quality.value.name)
        return put_before(caption, said[place].start, quality.value.name)

    def _without(self, caption: str, value: Value, new: Collection[str]) -> str:
        """Removes a value from the caption; a removed pattern becomes plain."""
        if value.kind == "word":
            said = [w for w in words(caption) if f"word:{stem(w.spelling)}" == value.concept]
            return self._take_out(caption, [ValueMention(value, word.start, word.end) for word in said])
        every = value.concept.partition(":")[2] in ANY_PATTERN
        for name, instead in HOLDS.get(value.concept.partition(":")[2], {}).items():
            caption = self._garment_instead(caption, name, instead)
        plain = self.lexicon.value_of(PLAIN)
        there = [m for m in self.lexicon.mentions(caption) if m.value.concept not in new and m.value != plain]
        going = [m for m in there if covers(value, m.value) or (every and m.kind == value.kind)]
        patterns = [m for m in self.lexicon.mentions(caption) if plain and m.kind == plain.kind]
        if plain and sort_of(value) == "pattern" and len(going) == len(patterns) and (going or every):
            return self._plain(caption, going, plain.name)
        caption = self._take_out(caption, going)
        return self._plain(caption, [], plain.name) if plain and sort_of(value) == "motif" and not patterns else caption

    def _plain(self, caption: str, patterns: Sequence[ValueMention], plain: str) -> str:
        """Inserts ``plain`` in place of a pattern worded as a quality, or else before the garment."""
        if patterns and not self._thing_at(caption, patterns[0]):
            caption = self._take_out(caption, patterns[1:])
            return put_instead(caption, patterns[0].start, patterns[0].end, plain)
        caption = self._take_out(caption, patterns)
        garment = self._garment(caption)
        return put_before(caption, garment.start if garment else None, plain)

    def _take_out(self, caption: str, mentions: Sequence[ValueMention]) -> str:
        for mention in sorted(mentions, key=lambda m: -m.start):
            behind = (caption[mention.end : m.start] for m in self.lexicon.mentions(caption) if m.start > mention.end)
            alone = not re.fullmatch(
                r"\s(?:[\w-]+\s){0,2}", next(behind, ".")
            )  # "in grey brushed cotton" stays "in brushed cotton"
            caption = cut_out(caption, mention.start, mention.end, thing=self._thing_at(caption, mention), alone=alone)
        return caption

    def _thing_at(self, caption: str, mention: ValueMention) -> bool:
        return is_thing(caption[mention.start : mention.end], mention.value)

    def _garment_instead(self, caption: str, name: str, instead: str) -> str:
        for mention in self.lexicon.mentions(caption):
            if mention.value.concept == f"garment:{name}":
                return put_instead(caption, mention.start, mention.end, instead)
        return caption

    def _garment(self, caption: str) -> ValueMention | None:
        """Last garment of the first sentence: "denim shirt dress" is a dress."""
        kinds, (_, end) = ("garment", self.lexicon.kind("garment")), sentence_at(caption, 0)
        return next((m for m in reversed(self.lexicon.mentions(caption[:end])) if m.kind in kinds), None)


def covers(value: Value, other: Value) -> bool:
    """True if rejecting ``value`` also rejects ``other``: grey, and dark grey."""
    if value.concept == other.concept:
        return True
    shades = sort_of(value) == "colour" and value.kind == other.kind and other.concept != "colour:off white"
    return shades and {word.spelling for word in words(value.name)} <= {word.spelling for word in words(other.name)}


def _is_thing(item: Item) -> bool:
    return is_thing(item.text, item.value)

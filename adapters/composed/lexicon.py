"""Finds attribute values in texts, in any spelling: fashion words and a catalogue's own."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from e2.adapters.composed.fashion_words import ENTITIES, PROPERTIES, WORDS
from e2.extras import extra
from e2.spelling import Phrases, Word, spelling, stem, words

ADJECTIVES = ("shade", "length", "fit", "size", "weight", "width", "height", "surface", "style", "colour")  # have comparatives
GRADES = ("er", "est", "ish")  # endings of adjectives
ALIKE, ALIKE_COLOUR = 0.83, 0.79  # similarity of two spellings: one wrong letter in six; one letter lost in five
LOOKED_AT = 200  # frequent values of an entity used to guess its kind
SHORTEST_MISSPELT = 5  # letters; shorter words are too similar to others


@dataclass(frozen=True)
class Value:
    """Meaning of a word."""

    kind: str  # the catalogue's entity of that kind, or else ours
    name: str  # the catalogue's spelling, or else the usual word
    concept: str  # shared by all synonyms


@dataclass(frozen=True)
class ValueMention:
    """A value in a text, with its position in characters."""

    value: Value
    start: int
    end: int

    @property
    def kind(self) -> str:
        return self.value.kind


class Lexicon:
    """Finds values in texts.

    Args:
        vocabulary: entity -> values of a catalogue, most frequent first; a value known to both gets the catalogue's spelling
            and entity.
    """

    def __init__(self, vocabulary: Mapping[str, Sequence[str]] | None = None):
        with extra("composed", "a wish in words"):
            from rapidfuzz.distance.DamerauLevenshtein import normalized_similarity
            from rapidfuzz.process import extractOne
        self._nearest = partial(extractOne, scorer=normalized_similarity)
        vocabulary = vocabulary or {}
        own = [(word, value) for word, value in _own_values()]
        self.kinds = _entities(vocabulary, own)
        concepts = {(value.kind, spelling(word)): value.concept for word, value in own}
        ours = {entity: kind for kind, entity in self.kinds.items()}
        pairs: list[tuple[str, Value]] = []
        for entity, values in vocabulary.items():
            for name in values:
                kind = ours.get(entity, entity)
                pairs.append((name, Value(entity, name, concepts.get((kind, spelling(name)), spelling(name)))))
        spelt = {value.concept: value.name for _, value in reversed(pairs) if value.kind in ours}
        for word, value in own:
            known = spelt.get(value.concept, value.name)
            pairs.append((word, Value(self.kind(value.kind), known, value.concept)))
        self._phrases = Phrases(pairs)
        self._catalogue = set(vocabulary)
        properties = {stem(word) for listed in PROPERTIES.values() for word in listed.split()}
        single = [(found[0].spelling, value) for word, value in pairs if len(found := words(word)) == 1]
        self._stems: dict[str, Value] = {}
        self._adjectives: dict[str, Value] = {}
        for word, value in reversed(single):
            kind = ours.get(value.kind, value.kind)
            if (
                kind in WORDS and kind != "garment" and stem(word) not in properties
            ):  # "coated" is not a coat, "colour" not colourful
                self._stems[stem(word)] = value
            if kind in ADJECTIVES:
                self._adjectives[word] = value
        self._spellings = {word: value for word, value in reversed(single) if len(word) >= SHORTEST_MISSPELT}
        self._colours = [word for word, value in self._spellings.items() if sort_of(value) == "colour"]

    def kind(self, name: str) -> str:
        """Catalogue's name for one of our kinds."""
        return self.kinds.get(name, name)

    def mentions(self, text: str) -> list[ValueMention]:
        """Finds all values in a text, the longest at each position, without overlaps."""
        found = [ValueMention(self._chosen(each.items), each.start, each.end) for each in self._phrases.find(text)]
        taken = [(mention.start, mention.end) for mention in found]
        for word in words(text):
            if not any(start <= word.start < end for start, end in taken) and (value := self._of_stem(word)):
                found.append(ValueMention(value, word.start, word.end))
        return _shaded(sorted(found, key=lambda mention: mention.start))

    def value_of(self, text: str) -> Value | None:
        """Value that a text spells as a whole."""
        found = self.mentions(text)
        return found[0].value if len(found) == 1 and (found[0].start, found[0].end) == (0, len(text)) else None

    def named(self, entity: str, name: str) -> Value:
        """A value of the catalogue."""
        found = self.value_of(name)
        return found if found and found.kind == entity else Value(entity, name, spelling(name))

    def adjective(self, comparative: str) -> str | None:
        """Reduces ``darker`` to ``dark``, ``baggiest`` to ``baggy``, ``reddish`` to ``red``; None if no adjective is known."""
        for ending in GRADES:
            if comparative.endswith(ending) and len(comparative) > len(ending) + 1:
                root = comparative[: -len(ending)]
                forms = [root, f"{root}e", root[:-1] if root[-1:] == root[-2:-1] else root]
                forms += [f"{root[:-1]}y"] if root.endswith("i") else []
                return next((form for form in forms if form in self._adjectives), None)
        return None

    def misspelt(self, word: str) -> Value | None:
        """Value whose spelling is nearest to an unknown word; None if none is near."""
        word = spelling(word)
        near = self.nearest(word, self._spellings.keys())
        if near is None:
            near = self.nearest(word, self._colours, SHORTEST_MISSPELT - 1, ALIKE_COLOUR)
            near = near if near and set(word) <= set(near) else None  # "blak", "balck", but "blank" is not black
        return None if near is None else self._spellings[near]

    def nearest(
        self, word: str, among: Collection[str], shortest: int = SHORTEST_MISSPELT, alike: float = ALIKE
    ) -> str | None:
        """Word of the same first letter that differs by a slip at most; None without any."""
        near = self._nearest(word, among, score_cutoff=alike) if len(word) >= shortest else None
        return near[0] if near and near[0][0] == word[0] else None

    def _of_stem(self, word: Word) -> Value | None:
        if len(word.spelling) < 4:
            return None
        return self._stems.get(stem(word.spelling))

    def _chosen(self, values: Sequence[Value]) -> Value:
        """Prefers the catalogue's values to ours, and colours to brands."""
        return min(values, key=lambda value: (value.kind not in self._catalogue, value.kind == "brand"))


def sort_of(value: Value) -> str:
    """Our kind of a value, whatever the catalogue calls it."""
    return value.concept.partition(":")[0] if ":" in value.concept else value.kind


def _shaded(mentions: Sequence[ValueMention]) -> list[ValueMention]:
    """Merges a shade and the colour after it: "dark grey"."""
    found: list[ValueMention] = []
    for mention in mentions:
        before = found[-1] if found else None
        if before and before.end + 1 == mention.start and [sort_of(m.value) for m in (before, mention)] == ["shade", "colour"]:
            name = f"{before.value.name} {mention.value.name}".lower()
            mention = ValueMention(Value(mention.kind, name, f"colour:{name}"), found.pop().start, mention.end)
        found.append(mention)
    return found


def _own_values() -> Iterator[tuple[str, Value]]:
    """Yields every fashion word with its value."""
    for kind, listed in WORDS.items():
        for group in listed.split(", "):
            alike = [word.strip() for word in group.split(" = ")]
            for word in alike:
                yield word, Value(kind, alike[0], f"{kind}:{alike[0]}")


def _entities(vocabulary: Mapping[str, Sequence[str]], own: Sequence[tuple[str, Value]]) -> dict[str, str]:
    """Maps our kinds to the catalogue's entities: by name, or else by what most values are."""
    found = {kind: entity for kind, names in ENTITIES.items() for entity in reversed(names) if entity in vocabulary}
    found |= {kind: kind for kind in WORDS if kind in vocabulary}
    words_of = {kind: {spelling(word) for word, value in own if value.kind == kind} for kind in WORDS}
    for entity, values in vocabulary.items():
        if entity in found.values():
            continue
        looked_at = [spelling(value) for value in values[:LOOKED_AT]]
        known = {kind: sum(each in words_of[kind] for each in looked_at) for kind in WORDS if kind not in found}
        best = max(known, key=lambda kind: known[kind], default=None)
        if best is not None and known[best] > len(looked_at) / 2:
            found[best] = entity
    return found

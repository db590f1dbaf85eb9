"""Which tags a caption names: right ones, wrong ones, and where they stand in the text.

A tag is named where its words stand in the caption one after another, whole words, whatever the case and the punctuation
between them (``levi's`` names *Levi's*, ``redwood`` does not name *Red*). Where several values fit, the longest wins over all
entities: ``Red Tape`` names the brand and not the colour. Percentages in a value need not be named (*100% Cotton* by
``cotton``), and a singular names a plural (*Jackets* by ``jacket``) but for words that mean another thing then.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

WORD = re.compile(r"\w+")
OTHER_THINGS = {"short", "tight", "flat", "top", "bottom", "glass", "les"}  # what no plural is made of here
COUNTS = ("right", "wrong", "known", "named")  # per caption and entity, see `tag_counts`


@dataclass(frozen=True)
class Mention:
    """A tag in a text: characters ``start`` to ``end`` name ``value`` of ``entity``."""

    start: int
    end: int
    entity: str
    value: str


class TagVocabulary:
    """All values of a catalogue's tags, to be found in texts.

    Args:
        tags: the tags of any number of products, entity -> value.
    """

    def __init__(self, tags: Iterable[Mapping[str, str]]):
        self.phrases: dict[tuple[str, ...], set[tuple[str, str]]] = {}
        self.lengths: dict[str, set[int]] = {}  # first word -> lengths of the phrases that begin with it
        for entity, value in {item for found in tags for item in found.items()}:
            for phrase in _variants(value):
                self.phrases.setdefault(phrase, set()).add((entity, value))
                self.lengths.setdefault(phrase[0], set()).add(len(phrase))

    def find(self, text: str) -> list[Mention]:
        """The mentions in a text, in its order; a phrase that is a value of several entities gives one for each."""
        found = list(WORD.finditer(text))
        words = [match.group().casefold() for match in found]
        mentions, place = [], 0
        while place < len(words):
            fitting = (n for n in self.lengths.get(words[place], ()) if n <= len(words) - place)
            lengths = sorted(fitting, reverse=True)
            length = next((n for n in lengths if tuple(words[place : place + n]) in self.phrases), 0)
            for entity, value in sorted(self.phrases.get(tuple(words[place : place + length]), ())):
                mentions.append(Mention(found[place].start(), found[place + length - 1].end(), entity, value))
            place += max(length, 1)
        return mentions


def _variants(value: str) -> set[tuple[str, ...]]:
    """The phrases that name a value, as case-folded words."""
    words = tuple(match.group().casefold() for match in WORD.finditer(value))
    without_numbers = tuple(word for word in words if not word.isdigit())
    plain = {phrase for phrase in (words, without_numbers) if phrase}
    return plain | {(*phrase[:-1], word) for phrase in plain for word in _singulars(phrase[-1])}


def _singulars(word: str) -> list[str]:
    endings = (("ies", "y"), ("ches", "ch"), ("shes", "sh"), ("sses", "ss"), ("xes", "x"), ("s", ""))
    for plural, singular in endings:
        if len(word) > 3 and word.endswith(plural) and not word.endswith(("ss", "us", "is")):
            found = word.removesuffix(plural) + singular
            return [] if found in OTHER_THINGS else [found]
    return []


def named_values(mentions: Sequence[Mention]) -> dict[str, set[str]]:
    """Entity -> the values that are named."""
    named: dict[str, set[str]] = {}
    for mention in mentions:
        named.setdefault(mention.entity, set()).add(mention.value)
    return named


def tag_counts(
    mentions: Sequence[Sequence[Mention]], tags: Sequence[Mapping[str, str]], entities: Sequence[str]
) -> np.ndarray:
    """(N, E, 4) per caption and entity: the right value named (0 or 1), how many wrong ones, whether the true value is
    known, and whether any value is named. Where the truth is not known nothing counts.

    One phrase may be a value twice over, spelled in two ways (*T-Shirts*, *T Shirts*): where one of its values is right, the
    other is not wrong.
    """
    counts = np.zeros((len(mentions), len(entities), len(COUNTS)))
    for row, (found, true) in enumerate(zip(mentions, tags, strict=True)):
        for column, entity in enumerate(entities):
            if entity not in true:
                continue
            spans = {(m.start, m.end) for m in found if m.entity == entity and m.value == true[entity]}
            wrong = {m.value for m in found if m.entity == entity and (m.start, m.end) not in spans}
            counts[row, column] = bool(spans), len(wrong), 1, bool(spans or wrong)
    return counts


def tag_metrics(counts: np.ndarray, entities: Sequence[str]) -> dict[str, np.ndarray]:
    """(..., E, 4) summed or mean counts -> percentages, each of shape (...); NaN where nothing was named or known.

    ``tag_precision_ENTITY``: of the values named, the right ones. ``tag_recall_ENTITY``: of the products whose value is known,
    those whose caption names it. ``tag_precision`` and ``tag_recall``: over all entities together.
    """
    metrics = {}
    columns = {f"_{entity}": counts[..., place, :] for place, entity in enumerate(entities)}
    for name, (right, wrong, known, _) in ((n, np.moveaxis(c, -1, 0)) for n, c in {"": counts.sum(-2), **columns}.items()):
        with np.errstate(divide="ignore", invalid="ignore"):
            metrics[f"tag_precision{name}"] = 100 * right / (right + wrong)
            metrics[f"tag_recall{name}"] = 100 * right / known
    return metrics

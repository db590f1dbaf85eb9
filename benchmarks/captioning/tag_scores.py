"""Scores the tags that a caption names, right or wrong, with their position in the text.

A tag is named if its words occur in the caption in any spelling (`e2.spelling`: ``tshirt`` names *T-Shirts*, ``shirt`` does
not), or a synonym that is not a value itself (*jumper* for *Sweaters*), and the caption claims it of the product (`claims`).
If several values fit, the longest wins over all entities: ``Red Tape`` names the brand and not the colour. Percentages in
a value need not be named (*100% Cotton* by ``cotton``), nor all parts of *Necklace and Chains*.

A caption makes one claim per entity. It is right if one of its values is one of the product's (*black and white* for *Black*),
wrong if none is, and neither if one is only wider or narrower (*blue* for *Navy Blue*).
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from e2.benchmarks.captioning.claims import claims
from e2.benchmarks.captioning.tag_words import is_garment, related, synonyms
from e2.data.product import values_of
from e2.spelling import Phrases, spelling

COUNTS = ("right", "wrong", "known", "named")  # per caption and entity, see `tag_counts`
FEW = 0.01  # precision is reported if at least this share of captions claims a value


@dataclass(frozen=True)
class TagMention:
    """A tag that a text claims: characters ``start`` to ``end`` name ``value`` of ``entity``."""

    start: int
    end: int
    entity: str
    value: str


class TagVocabulary:
    """Finds all values of a catalogue's tags in texts, given the tags of any number of products."""

    def __init__(self, tags: Iterable[Mapping[str, str]]):
        values = sorted({(entity, value) for found in tags for entity, tag in found.items() for value in values_of(tag)})
        spelled = {(entity, spelling(value)) for entity, value in values}
        self.phrases = Phrases(
            (phrase, (entity, value))
            for entity, value in values
            for phrase, is_own in _phrases(entity, value)
            if is_own or (entity, spelling(phrase)) not in spelled
        )

    def find(self, text: str) -> list[TagMention]:
        """Finds a text's claims, in order; a phrase that is a value of several entities gives a mention for each."""
        claimed = claims(text, self.phrases.find(text))
        return [TagMention(f.start, f.end, entity, value) for f in claimed for entity, value in sorted(f.items)]


def _phrases(entity: str, value: str) -> Iterator[tuple[str, bool]]:
    """Yields names of a value, and whether each is the value's own name."""
    without_numbers = re.sub(r"\d+(?:[.,]\d+)?\s*%?", " ", value).strip()
    parts = re.split(r"\s+(?:and|&)\s+", value, flags=re.IGNORECASE) if is_garment(entity) else []
    for name in filter(None, dict.fromkeys((value, without_numbers, *parts))):
        yield name, name == value
        yield from ((synonym, False) for synonym in synonyms(name))


def verdict(entity: str, mentions: Sequence[TagMention], tags: Mapping[str, str]) -> bool | None:
    """Judges a caption's claim on an entity: right, wrong, or None if undecidable (see the module)."""
    named = [m.value for m in mentions if m.entity == entity]
    if entity not in tags or not named:
        return None
    own = values_of(tags[entity])
    if {*map(spelling, named)} & {*map(spelling, own)}:
        return True
    return None if any(related(value, other) for value in named for other in own) else False


def is_right(mention: TagMention, mentions: Sequence[TagMention], tags: Mapping[str, str]) -> bool | None:
    """Judges one mention: right if it is a value of the product's own, False if the claim that it is part of is wrong."""
    own = values_of(tags[mention.entity]) if mention.entity in tags else ()
    if spelling(mention.value) in map(spelling, own):
        return True
    return None if verdict(mention.entity, mentions, tags) is not False else False


def tag_counts(
    mentions: Sequence[Sequence[TagMention]], tags: Sequence[Mapping[str, str]], entities: Sequence[str]
) -> np.ndarray:
    """Counts (N, E, 4) per caption and entity, each 0 or 1: claim right, claim wrong, true value known, claim made.

    All are 0 where the truth is unknown.
    """
    counts = np.zeros((len(mentions), len(entities), len(COUNTS)))
    for row, (found, true) in enumerate(zip(mentions, tags, strict=True)):
        for column, entity in enumerate(entities):
            if entity in true:
                found_right = verdict(entity, found, true)
                named = any(m.entity == entity for m in found)
                counts[row, column] = found_right is True, found_right is False, 1, named
    return counts


def rarely_named(counts: np.ndarray, entities: Sequence[str]) -> dict[str, str]:
    """Precisions of entities claimed by too few captions, given counts (E, 4) summed over captions: metric -> why."""
    return {
        f"tag_precision_{entity}": f"{entity} is named by {named:,} of {known:,} captions"
        for entity, (_, _, known, named) in zip(entities, counts.astype(int).tolist(), strict=True)
        if named < FEW * known
    }


def tag_metrics(counts: np.ndarray, entities: Sequence[str]) -> dict[str, np.ndarray]:
    """Converts (..., E, 4) summed or mean counts to percentages, (...) each; NaN if nothing was named or known.

    ``tag_precision_ENTITY``: share of right ones among right and wrong claims. ``tag_recall_ENTITY``: share of products with a
    known value whose caption names it. ``tag_precision`` and ``tag_recall``: over all entities together.
    """
    metrics = {}
    columns = {"": counts.sum(-2), **{f"_{entity}": counts[..., place, :] for place, entity in enumerate(entities)}}
    for name, column in columns.items():
        right, wrong, known, _ = np.moveaxis(column, -1, 0)
        with np.errstate(divide="ignore", invalid="ignore"):
            metrics[f"tag_precision{name}"] = 100 * right / (right + wrong)
            metrics[f"tag_recall{name}"] = 100 * right / known
    return metrics

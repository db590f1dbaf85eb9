"""Holds captions to what is known of a product: which of the tags that a caption names may stand in it.

A decoder states brands and colours that look likely. Modes: ``tags`` keeps a product's own tags, puts them where the caption
has others, and drops what the product has no tag for; ``sure`` keeps what the captioner states rightly often enough, measured
on labelled products that it has not seen, and drops the rest; ``free`` changes nothing.

Only values of a vocabulary are recognised, in any spelling (`e2.spelling`): what no tag names cannot be held to anything.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from e2.adapters.captioning.captioner import Captioner
from e2.adapters.captioning.embeddings import readable_photos
from e2.data.fingerprint import digest
from e2.data.product import Catalogue, values_of
from e2.errors import InputError
from e2.spelling import PhraseMatch, Phrases, spelling

MODES = ("tags", "sure", "free")
PRECISION = 0.9  # share of right statements from which an entity is sure
FEW = 10  # with fewer statements, a share says little
PHOTOS = 500  # most labelled photos that are captioned to measure it
GAP = "\0"  # in place of a dropped value

_LINKS = r"(?:and|or|in|of|by|from|with|for)\b|&"
_DANGLING = re.compile(rf"(?:^|\s+)(?:in|of|by|from|with|and|or|&)\s+{GAP}(?=\s*(?:$|[,.;:!?]|{_LINKS}))", re.IGNORECASE)
_LISTED = re.compile(rf"{GAP}\s*(?:,|\b(?:and|or)\b|&)\s+(?=\w)", re.IGNORECASE)

Item = tuple[str, str]  # entity and value
Synonyms = Mapping[str, Mapping[str, Sequence[str]]]  # entity -> value -> its other names


@dataclass(frozen=True)
class Facts:
    """Rules that captions are held to.

    Attributes:
        vocabulary: entity -> its values, by which facts are recognised.
        own: True: a product's own tags stand, and replace others; False: none is consulted.
        sure: entities whose values stand as the decoder states them.
        synonyms: entity -> value -> its other names.
    """

    vocabulary: Mapping[str, Sequence[str]]
    own: bool = True
    sure: tuple[str, ...] = ()
    synonyms: Synonyms = field(default_factory=dict)

    @cached_property
    def _phrases(self) -> Phrases[Item]:
        return Phrases(
            (name, (entity, value))
            for entity, values in self.vocabulary.items()
            for value in values
            for name in (value, *self.synonyms.get(entity, {}).get(value, ()))
        )

    def found(self, caption: str) -> list[PhraseMatch[Item]]:
        """Values that a caption names."""
        return self._phrases.find(caption)

    def hold(self, caption: str, tags: Mapping[str, str]) -> str:
        """Replaces or drops what may not stand in a product's caption.

        Example:
            >>> facts = Facts({"brand": ["Nike", "Puma"], "colour": ["Red", "Blue"]})
            >>> facts.hold("Nike Men T-shirt in Blue", {"brand": "Puma"})
            'Puma Men T-shirt'
        """
        found = self.found(caption)
        stated = {spelling(value) for f in found for entity, value in f.items if self._stands(entity, value, tags)}
        parts, end = [], 0
        for f in found:
            parts.append(caption[end : f.start])
            end = f.end
            if any(self._stands(entity, value, tags) for entity, value in f.items):
                parts.append(caption[f.start : f.end])
                continue
            instead = next((v for e, _ in f.items for v in self._own(e, tags) if spelling(v) not in stated), GAP)
            stated.add(spelling(instead))
            parts.append(instead)
        return _mended("".join([*parts, caption[end:]]), caption) if found else caption

    def _own(self, entity: str, tags: Mapping[str, str]) -> tuple[str, ...]:
        return values_of(tags[entity]) if self.own and entity in tags else ()

    def _stands(self, entity: str, value: str, tags: Mapping[str, str]) -> bool:
        return entity in self.sure or spelling(value) in map(spelling, self._own(entity, tags))

    def description(self) -> dict[str, Any]:
        """Description that a resumed run has to share."""
        return {"own": self.own, "sure": list(self.sure), "vocabulary": digest([repr(self.vocabulary), repr(self.synonyms)])}


def _mended(text: str, before: str) -> str:
    """Closes the gaps, with the little words that led to them."""
    while (shorter := _DANGLING.sub("", _LISTED.sub("", text))) != text:
        text = shorter
    text = re.sub(r"\s+([,.;:!?])|,(?=,)", r"\1", " ".join(text.replace(GAP, "").split())).strip(" ,;:")
    return text[:1].upper() + text[1:] if before[:1].isupper() else text


def stated_rightly(facts: Facts, captions: Sequence[str], tags: Sequence[Mapping[str, str]]) -> dict[str, tuple[int, int]]:
    """Counts per entity how often a caption states a value, and how often it is the product's, where that is known."""
    made: Counter[str] = Counter()
    right: Counter[str] = Counter()
    for caption, true in zip(captions, tags, strict=True):
        named: dict[str, set[str]] = {}
        for f in facts.found(caption):
            for entity, value in f.items:
                named.setdefault(entity, set()).add(spelling(value))
        for entity in named.keys() & true.keys():
            made[entity] += 1
            right[entity] += bool(named[entity] & set(map(spelling, values_of(true[entity]))))
    return {entity: (right[entity], made[entity]) for entity in facts.vocabulary}


def sure_facts(
    captioner: Captioner,
    labelled: Catalogue,
    vocabulary: Mapping[str, Sequence[str]],
    *,
    synonyms: Synonyms | None = None,
    precision: float = PRECISION,
    progress: bool = True,
    **decoding: Any,
) -> tuple[Facts, dict[str, tuple[int, int]]]:
    """Measures on labelled products which entities a captioner states rightly.

    Args:
        labelled: products with tags that neither encoder nor captioner have learned from; up to `PHOTOS` are captioned.
        vocabulary: entity -> values.
        synonyms: of these.
        precision: least share of right statements of a sure entity, of at least `FEW`.
        decoding: options of `Decoding`, as the captions will be written by.

    Returns:
        The rules, and the counts they rest on (`stated_rightly`).

    Raises:
        InputError: no labelled product has tags and a readable photo.
    """
    rows = np.unique(np.linspace(0, len(labelled) - 1, PHOTOS).astype(int)).tolist() if len(labelled) else ()
    photos = list(readable_photos(labelled, rows))
    images, tags = [photo for _, _, photo in photos], [product.tags for _, product, _ in photos]
    if not any(tags):
        raise InputError(
            f"{labelled.name} split {labelled.split} has no photo with tags to measure sure facts on; name columns by --tags"
        )
    synonyms = synonyms or {}
    counts = stated_rightly(
        Facts(vocabulary, synonyms=synonyms), captioner.caption(images, progress=progress, **decoding), tags
    )
    sure = tuple(entity for entity, (right, made) in counts.items() if made >= FEW and right >= precision * made)
    return Facts(vocabulary, own=False, sure=sure, synonyms=synonyms), counts

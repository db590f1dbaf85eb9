"""Reads tags from a photo with an encoder: per entity the nearest tag text, if near enough, or all that are.

An encoder with regions compares each entity's region embedding with the texts of that entity's values; any other CLIP, and an
entity without a region, compares the image embedding. Entities that were trained with mean-centred tag texts are compared with
such here too. The threshold is a cosine per entity, set by hand or by `TagReader.calibrate` on labelled photos; of an entity
of which products have several values, all above it are read. Spellings of one value (*Nike*, *nike*) are one (`e2.spelling`).
"""

import copy
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from e2.adapters.encoder import Encoder
from e2.data.product import SEPARATOR, Catalogue, tag_of, tag_text, values_of, without_photos
from e2.errors import InputError
from e2.spelling import by_spelling, spelling

ALWAYS, NEVER = -2.0, 2.0  # thresholds below and above every cosine (unlike infinities these fit in JSON)
PLAIN = "{tag}"
ROWS = 1024  # photos compared at a time: photos x values for millions would not fit


def tag_vocabulary(*catalogues: Catalogue, entities: Sequence[str] | None = None) -> dict[str, list[str]]:
    """Collects all values of catalogues' tags per entity, most frequent first (ties by name).

    Each value occurs once, in its most frequent spelling.

    Args:
        catalogues: splits of one; photos are not read if the source can skip them.
        entities: entities to use; None: all of the catalogue's.

    Raises:
        InputError: no entities, or one that no product has.
    """
    first = catalogues[0]
    entities = tuple(first.tags if entities is None else entities)
    if not entities:
        raise InputError(f"{first.name} has no tags; name columns by --tags, e.g. --tags brand,season")
    counts: dict[str, Counter[str]] = {entity: Counter() for entity in entities}
    for catalogue in catalogues:
        for product in without_photos(catalogue):
            for entity in entities & product.tags.keys():
                counts[entity].update(product.values[entity])
    if empty := [entity for entity in entities if not counts[entity]]:
        splits = ", ".join(catalogue.split for catalogue in catalogues)
        raise InputError(f"{first.name} split {splits}: no product has the tag {', '.join(empty)}; check --tags")
    return {entity: _frequent_first(found) for entity, found in counts.items()}


def _frequent_first(counts: Counter[str]) -> list[str]:
    """Merges counted spellings to values, each in its most frequent one."""
    names = by_spelling(sorted(counts, key=lambda value: (-counts[value], value)))
    totals: Counter[str] = Counter()
    for value, count in counts.items():
        totals[spelling(value)] += count
    return [names[key] for key in sorted(names, key=lambda key: (-totals[key], names[key]))]


def several_valued(tags: Iterable[Mapping[str, str]]) -> tuple[str, ...]:
    """Entities of which some product has several values, by name."""
    return tuple(sorted({entity for own in tags for entity, tag in own.items() if SEPARATOR in tag}))


class ReadingScore(NamedTuple):
    """Values read off labelled photos: how many, how many of them right, and how many the labels have."""

    read: int
    right: int
    labelled: int

    def record(self) -> dict[str, float | int | None]:
        """Precision and recall in percent; a precision of nothing is None."""
        precision = 100 * self.right / self.read if self.read else None
        return {**self._asdict(), "precision": precision, "recall": 100 * self.right / self.labelled}


class TagReader:
    """Finds the nearest tag texts of photos.

    Args:
        encoder: any; its texts embed the values, its ``tags`` name the entities of ``region_features``.
        vocabulary: entity -> values, as in `tag_vocabulary`; the first spelling of a value is kept.
        prompt: text of a value, which may name {entity}; None: as in the encoder's training, or else the bare value.
        thresholds: entity -> least cosine for reading a tag; without one, the nearest value is always read.
        several: entities of which all values above the threshold are read, not only the nearest.

    Attributes:
        values: entity -> (V, D) float32, the embedded values.
        compared: the same, mean-centred if the encoder was trained so.
        thresholds: as above, for all entities.

    Raises:
        InputError: an entity without values.
    """

    def __init__(
        self,
        encoder: Encoder,
        vocabulary: Mapping[str, Sequence[str]],
        *,
        prompt: str | None = None,
        thresholds: Mapping[str, float] | None = None,
        several: Collection[str] = (),
    ):
        empty = [entity for entity, values in vocabulary.items() if not values]
        if empty or not vocabulary:
            raise InputError(f"the tag vocabulary has no values of {', '.join(empty) or 'any entity'}; give at least one each")
        self.vocabulary = {entity: list(by_spelling(values).values()) for entity, values in vocabulary.items()}
        self.prompt = trained_prompt(encoder) if prompt is None else prompt
        self.regions = {entity: number for number, entity in enumerate(encoder.tags)}
        texts = [tag_text(self.prompt, entity, value) for entity, values in self.vocabulary.items() for value in values]
        ends = np.cumsum([len(values) for values in self.vocabulary.values()])
        self.values = dict(zip(self.vocabulary, np.split(encoder.encode_texts(texts, progress=False), ends[:-1]), strict=True))
        centred = encoder.taught if encoder.loss.get("centre_tags") else ()
        self.compared = {name: centre(texts) if name in centred else texts for name, texts in self.values.items()}
        self.thresholds = dict.fromkeys(self.vocabulary, ALWAYS) | dict(thresholds or {})
        self.several = frozenset(several)
        self._places = {
            entity: {spelling(value): place for place, value in enumerate(values)}
            for entity, values in self.vocabulary.items()
        }

    def scores(self, image_features: np.ndarray, region_features: np.ndarray | None = None) -> dict[str, np.ndarray]:
        """Computes the cosines of N photos to every value.

        Args:
            image_features: (N, D), L2-normalised.
            region_features: (N, E, D), entities in the order of the encoder's ``tags``; None for an encoder without.

        Returns:
            entity -> (N, V) float32.
        """
        return {
            entity: self._features(entity, image_features, region_features) @ values.T
            for entity, values in self.compared.items()
        }

    def read(
        self,
        image_features: np.ndarray,
        region_features: np.ndarray | None = None,
        thresholds: Mapping[str, float] | None = None,
    ) -> list[dict[str, str]]:
        """Reads each photo's nearest value of each entity, or several, nearest first; entities below the threshold are absent.

        Args:
            image_features, region_features: as for `scores`.
            thresholds: instead of the reader's own, per entity.
        """
        limits = self.thresholds | dict(thresholds or {})
        found: list[dict[str, str]] = []
        for rows, scores in self._blocks(image_features, region_features):
            photos: list[dict[str, str]] = [{} for _ in range(len(image_features))[rows]]
            for entity, cosines in scores.items():
                read = self._candidates(entity, cosines) & (cosines >= limits[entity])
                for row in np.flatnonzero(read.any(axis=1)):
                    values = np.flatnonzero(read[row])
                    nearest = values[np.argsort(-cosines[row, values], kind="stable")]
                    photos[row][entity] = tag_of(self.vocabulary[entity][value] for value in nearest)
            found += photos
        return found

    def read_pooled(
        self, image_features: np.ndarray, *, top_k: int = 3, threshold: float = 0.2, temperature: float = 0.01
    ) -> list[list[str]]:
        """Reads as ViECap does: up to ``top_k`` of all entities' values with softmax(cosine / temperature) > threshold.

        Returns:
            Values of each photo, likeliest first.
        """
        pooled = np.concatenate(list(self.values.values()))
        names = [value for values in self.vocabulary.values() for value in values]
        found: list[list[str]] = []
        for start in range(0, len(image_features), ROWS):
            logits = image_features[start : start + ROWS] @ pooled.T / temperature  # (R, V)
            weights = np.exp(logits - logits.max(axis=1, keepdims=True))
            weights /= weights.sum(axis=1, keepdims=True)
            for row in weights:
                best = np.argsort(-row, kind="stable")[:top_k]
                found.append([names[value] for value in best if row[value] > threshold])
        return found

    def calibrate(
        self,
        image_features: np.ndarray,
        region_features: np.ndarray | None,
        tags: Sequence[Mapping[str, str]],
        *,
        precision: float = 0.8,
    ) -> dict[str, float]:
        """Sets and returns, per entity, the least threshold at which read values reach the precision.

        Args:
            image_features, region_features: N labelled photos that the encoder has not seen.
            tags: N true tags; photos without an entity's tag do not count for it.
            precision: required share of right values among those read.

        Raises:
            InputError: a precision outside 0..1, or no photo with a tag.
        """
        if not 0 < precision <= 1:
            raise InputError(f"precision {precision} of the read tags must lie above 0 and up to 1")
        if not any(entity in true for true in tags for entity in self.vocabulary):
            raise InputError("no photo to calibrate on has any of the tags; give a labelled split")
        judged: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {}
        for entity, cosines, true, known in self._judged(image_features, region_features, tags):
            candidates = self._candidates(entity, cosines) & known[:, None]
            judged.setdefault(entity, []).append((cosines[candidates], true[candidates]))
        for entity, parts in judged.items():
            cosines, right = (np.concatenate(part) for part in zip(*parts, strict=True))
            if len(cosines):
                self.thresholds[entity] = least_threshold(cosines, right, precision)
        return self.thresholds

    def measure(
        self, image_features: np.ndarray, region_features: np.ndarray | None, tags: Sequence[Mapping[str, str]]
    ) -> dict[str, ReadingScore]:
        """Counts the values read off labelled photos; arguments as for `calibrate`. Entities without a label are absent."""
        found: dict[str, ReadingScore] = {}
        for entity, cosines, true, known in self._judged(image_features, region_features, tags):
            read = (self._candidates(entity, cosines) & (cosines >= self.thresholds[entity]))[known]
            before = found.get(entity, (0, 0, 0))
            found[entity] = ReadingScore(before[0] + int(read.sum()), before[1] + int((read & true[known]).sum()), before[2])
        for entity, score in found.items():
            labels = sum(len(values_of(own[entity])) for own in tags if entity in own)
            found[entity] = score._replace(labelled=labels)
        return {entity: score for entity, score in found.items() if score.labelled}

    def cross_measured(
        self,
        image_features: np.ndarray,
        region_features: np.ndarray | None,
        tags: Sequence[Mapping[str, str]],
        *,
        precision: float = 0.8,
    ) -> dict[str, ReadingScore]:
        """Measures what `calibrate` leads to on other photos: the thresholds of each half of them on the other half."""
        totals: dict[str, list[int]] = {}
        halves = slice(0, None, 2), slice(1, None, 2)
        for own, other in (halves, halves[::-1]):
            if any(entity in true for true in tags[own] for entity in self.vocabulary):
                reader = copy.copy(self)
                reader.thresholds = dict.fromkeys(self.vocabulary, NEVER)
                parts = [
                    (image_features[half], None if region_features is None else region_features[half], tags[half])
                    for half in (own, other)
                ]
                reader.calibrate(*parts[0], precision=precision)
                for entity, score in reader.measure(*parts[1]).items():
                    totals[entity] = [a + b for a, b in zip(totals.get(entity, (0, 0, 0)), score, strict=True)]
        return {entity: ReadingScore(*counts) for entity, counts in totals.items()}

    def _judged(
        self, image_features: np.ndarray, region_features: np.ndarray | None, tags: Sequence[Mapping[str, str]]
    ) -> Iterator[tuple[str, np.ndarray, np.ndarray, np.ndarray]]:
        """Yields for blocks of photos: entity, cosines (R, V), which values are true (R, V), whether that is known (R,)."""
        for rows, scores in self._blocks(image_features, region_features):
            for entity, cosines in scores.items():
                true, known = np.zeros(cosines.shape, dtype=bool), np.zeros(len(cosines), dtype=bool)
                for row, own in enumerate(tags[rows]):
                    known[row] = entity in own
                    places = (self._places[entity].get(spelling(value)) for value in values_of(own.get(entity, "")))
                    true[row, [place for place in places if place is not None]] = True
                yield entity, cosines, true, known

    def _candidates(self, entity: str, cosines: np.ndarray) -> np.ndarray:
        """Values (R, V) that may be read: the nearest of each photo, or all."""
        if entity in self.several:
            return np.ones(cosines.shape, dtype=bool)
        nearest = np.zeros(cosines.shape, dtype=bool)
        nearest[np.arange(len(cosines)), cosines.argmax(axis=1)] = True
        return nearest

    def _blocks(
        self, image_features: np.ndarray, region_features: np.ndarray | None
    ) -> Iterator[tuple[slice, dict[str, np.ndarray]]]:
        """Yields rows of photos and their `scores`."""
        for start in range(0, len(image_features), ROWS):
            rows = slice(start, start + ROWS)
            yield rows, self.scores(image_features[rows], None if region_features is None else region_features[rows])

    def _features(self, entity: str, image_features: np.ndarray, region_features: np.ndarray | None) -> np.ndarray:
        if region_features is None or entity not in self.regions:
            return image_features
        return region_features[:, self.regions[entity]]


def trained_prompt(encoder: Encoder) -> str:
    """Prompt by which an E2 words a tag (``loss.region_prompt``); the bare value for any other encoder."""
    return encoder.loss.get("region_prompt", PLAIN)


def centre(texts: np.ndarray) -> np.ndarray:
    """Mean-centres texts and normalises them, (V, D) -> (V, D); a single one is unchanged."""
    if len(texts) == 1:
        return texts
    apart = texts - texts.mean(axis=0)
    return apart / np.linalg.norm(apart, axis=1, keepdims=True).clip(1e-12)


def least_threshold(scores: np.ndarray, right: np.ndarray, precision: float) -> float:
    """Finds the least threshold t such that at least ``precision`` of scores >= t are right; `NEVER` if there is none.

    Args:
        scores: (N,).
        right: (N,) bool.
    """
    order = np.argsort(-scores, kind="stable")
    ordered = scores[order]
    good = np.cumsum(right[order]) / np.arange(1, len(order) + 1) >= precision
    good[:-1] &= ordered[:-1] > ordered[1:]  # equal scores are read together or not at all
    kept = np.flatnonzero(good)
    return float(ordered[kept[-1]]) if len(kept) else NEVER

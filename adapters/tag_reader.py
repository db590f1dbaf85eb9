"""Reads tags from a photo with an encoder: per entity the nearest tag text, if near enough.

An encoder with regions compares each entity's region embedding with the texts of that entity's values; any other CLIP, and an
entity without a region, compares the image embedding. Regions trained with mean-centred tag texts are compared with such here
too. The threshold is a cosine per entity, set by hand or by `TagReader.calibrate` on labelled photos. Spellings of one value
(*Nike*, *nike*) are one (`e2.spelling`).
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from e2.adapters.encoder import Encoder
from e2.data.product import Catalogue, without_photos
from e2.errors import InputError
from e2.spelling import by_spelling, spelling

ALWAYS, NEVER = -2.0, 2.0  # thresholds below and above every cosine (unlike infinities these fit in JSON)
PLAIN = "{tag}"
ROWS = 1024  # photos compared at a time: photos x values for millions would not fit


def tag_vocabulary(catalogue: Catalogue, entities: Sequence[str] | None = None) -> dict[str, list[str]]:
    """Collects all values of a catalogue's tags per entity, most frequent first (ties by name).

    Each value occurs once, in its most frequent spelling.

    Args:
        catalogue: one split; photos are not read if the source can skip them.
        entities: entities to use; None: all of the catalogue's.

    Raises:
        InputError: no entities, or one that no product has.
    """
    entities = tuple(catalogue.tags if entities is None else entities)
    if not entities:
        raise InputError(f"{catalogue.name} has no tags; name columns by --tags, e.g. --tags brand,season")
    counts: dict[str, Counter[str]] = {entity: Counter() for entity in entities}
    for tags in (product.tags for product in without_photos(catalogue)):
        for entity in entities:
            if entity in tags:
                counts[entity][tags[entity]] += 1
    empty = [entity for entity in entities if not counts[entity]]
    if empty:
        raise InputError(f"{catalogue.name} split {catalogue.split}: no product has the tag {', '.join(empty)}; check --tags")
    return {entity: _frequent_first(found) for entity, found in counts.items()}


def _frequent_first(counts: Counter[str]) -> list[str]:
    """Merges counted spellings to values, each in its most frequent one."""
    names = by_spelling(sorted(counts, key=lambda value: (-counts[value], value)))
    totals: Counter[str] = Counter()
    for value, count in counts.items():
        totals[spelling(value)] += count
    return [names[key] for key in sorted(names, key=lambda key: (-totals[key], names[key]))]


class TagReader:
    """Finds the nearest tag texts of photos.

    Args:
        encoder: any; its texts embed the values, its ``tags`` name the entities of ``region_features``.
        vocabulary: entity -> values, as in `tag_vocabulary`; the first spelling of a value is kept.
        prompt: text of a value, which may name {entity}; None: as in the encoder's training, or else the bare value.
        thresholds: entity -> least cosine for reading a tag; without one, the nearest value is always read.

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
    ):
        empty = [entity for entity, values in vocabulary.items() if not values]
        if empty or not vocabulary:
            raise InputError(f"the tag vocabulary has no values of {', '.join(empty) or 'any entity'}; give at least one each")
        self.vocabulary = {entity: list(by_spelling(values).values()) for entity, values in vocabulary.items()}
        self.prompt = trained_prompt(encoder) if prompt is None else prompt
        self.regions = {entity: number for number, entity in enumerate(encoder.tags)}
        texts = [
            self.prompt.format(tag=value, entity=entity) for entity, values in self.vocabulary.items() for value in values
        ]
        ends = np.cumsum([len(values) for values in self.vocabulary.values()])
        self.values = dict(zip(self.vocabulary, np.split(encoder.encode_texts(texts, progress=False), ends[:-1]), strict=True))
        centred = self.regions if encoder.loss.get("centre_tags") else ()
        self.compared = {name: centre(texts) if name in centred else texts for name, texts in self.values.items()}
        self.thresholds = dict.fromkeys(self.vocabulary, ALWAYS) | dict(thresholds or {})

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
        """Reads each photo's nearest value of each entity; entities below the threshold are absent.

        Args:
            image_features, region_features: as for `scores`.
            thresholds: instead of the reader's own, per entity.
        """
        limits = self.thresholds | dict(thresholds or {})
        return [
            {entity: self.vocabulary[entity][value] for entity, (value, cosine) in photo.items() if cosine >= limits[entity]}
            for photo in self._nearest(image_features, region_features)
        ]

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
        """Sets and returns, per entity, the least threshold at which read tags reach the precision.

        Args:
            image_features, region_features: N labelled photos that the encoder has not seen.
            tags: N true tags; photos without an entity's tag do not count for it.
            precision: required share of right tags among those read.

        Raises:
            InputError: a precision outside 0..1, or no photo with a tag.
        """
        if not 0 < precision <= 1:
            raise InputError(f"precision {precision} of the read tags must lie above 0 and up to 1")
        nearest = list(self._nearest(image_features, region_features))
        for entity, values in self.vocabulary.items():
            labelled = [(photo[entity], true[entity]) for photo, true in zip(nearest, tags, strict=True) if entity in true]
            if labelled:
                cosines = np.array([cosine for (_, cosine), _ in labelled])
                right = np.array([spelling(values[value]) == spelling(truth) for (value, _), truth in labelled])
                self.thresholds[entity] = least_threshold(cosines, right, precision)
        if not any(entity in true for true in tags for entity in self.vocabulary):
            raise InputError("no photo to calibrate on has any of the tags; give a labelled split")
        return self.thresholds

    def _nearest(self, image_features, region_features) -> Iterator[dict[str, tuple[int, float]]]:
        """Yields for each photo: entity -> (nearest value, its cosine)."""
        for start in range(0, len(image_features), ROWS):
            rows = slice(start, start + ROWS)
            scores = self.scores(image_features[rows], None if region_features is None else region_features[rows])
            best = {entity: (found.argmax(axis=1), found.max(axis=1)) for entity, found in scores.items()}
            for i in range(len(image_features[rows])):
                yield {entity: (int(value[i]), float(cosine[i])) for entity, (value, cosine) in best.items()}

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

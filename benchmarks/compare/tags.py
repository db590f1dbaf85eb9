"""Tags in a comparison: read off photos without training and by probes, and asked for as bare words.

Only values that several products have are told apart and asked for; rarer ones say little about a model. A tag may have
several values: any of them is right.
"""

import itertools
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from e2.adapters.encoder import Encoder
from e2.adapters.tag_reader import TagReader
from e2.benchmarks.probe.metrics import fit_probe
from e2.data.product import Product
from e2.extras import extra
from e2.spelling import by_spelling, spelling

with extra("compare", "comparing models"):
    from sklearn.model_selection import StratifiedKFold

LEAST = 5  # products with a value
FOLDS = 5  # of the probes: three to fit, one to choose the penalty, one to measure, in turn
MOST = 400  # queries of two tags
ONE, TWO = "one_tag", "two_tags"


@dataclass(frozen=True)
class TagLabels:
    """One entity's values among P products: V ``values``, the most frequent first, and who has them, ``own`` (P, V)."""

    values: list[str]
    own: np.ndarray

    @property
    def rows(self) -> np.ndarray:
        """Rows of the products that have a value."""
        return np.flatnonzero(self.own.any(axis=1))

    @property
    def majority(self) -> float:
        """Accuracy in percent of always reading the most frequent value."""
        return 100 * float(self.own[self.rows, 0].mean())


@dataclass(frozen=True)
class TagQuery:
    """Bare words that a shopper may type, and the rows of the products that fit; ``kind``: `ONE` or `TWO` tags."""

    kind: str
    entities: tuple[str, ...]
    text: str
    rows: np.ndarray


def read_tag_labels(products: Sequence[Product], entities: Sequence[str]) -> dict[str, TagLabels]:
    """Reads the labels of each entity that has two frequent values or more."""
    found = {entity: _labels_of([product.values.get(entity, ()) for product in products]) for entity in entities}
    return {entity: labels for entity, labels in found.items() if len(labels.values) > 1}


def _labels_of(tags: Sequence[tuple[str, ...]]) -> TagLabels:
    keys = [{spelling(value) for value in values} for values in tags]
    names = by_spelling(value for values in tags for value in values)
    counts = Counter(key for found in keys for key in found)
    listed = sorted((key for key in counts if counts[key] >= LEAST), key=lambda key: (-counts[key], names[key]))
    own = np.array([[key in found for key in listed] for found in keys], dtype=bool).reshape(len(keys), len(listed))
    return TagLabels([names[key] for key in listed], own)


def zero_shot(
    encoder: Encoder, labels: Mapping[str, TagLabels], images: np.ndarray, regions: np.ndarray | None
) -> dict[str, np.ndarray]:
    """Reads each photo's nearest value: entity -> (R,) bool, right or not, of the products in ``rows``.

    Args:
        encoder: its region embeddings are used for entities that it has.
        labels: result of `read_tag_labels`.
        images: (P, D) vectors of the products' photos.
        regions: (P, E, D), or None.
    """
    reader = TagReader(encoder, {entity: own.values for entity, own in labels.items()})
    scores = reader.scores(images, regions)
    return {entity: own.own[own.rows, scores[entity][own.rows].argmax(axis=1)] for entity, own in labels.items()}


def probe_right(images: np.ndarray, labels: TagLabels, seed: int) -> np.ndarray:
    """Reads values by linear probes, each fitted on other products: (R,) bool, right or not, of the products in ``rows``.

    Args:
        images: (P, D) vectors of the products' photos.
        labels: of one entity.
        seed: of the folds.
    """
    inputs, own = images[labels.rows], labels.own[labels.rows]
    right = np.zeros(len(inputs), dtype=bool)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a value that is never a product's most frequent one may be rarer
        splits = list(StratifiedKFold(FOLDS, shuffle=True, random_state=seed).split(inputs, own.argmax(axis=1)))
    folds = [test for _, test in splits]
    for place, test in enumerate(folds):
        val = folds[(place + 1) % FOLDS]
        fit = np.setdiff1d(np.arange(len(inputs)), np.concatenate([test, val]))
        (fit_rows, targets), (val_rows, val_targets) = (np.nonzero(own[part]) for part in (fit, val))
        if len(set(targets.tolist())) > 1:
            rows = fit_rows, val_rows  # each as often as it has values
            probe = fit_probe(inputs[fit][fit_rows], targets, inputs[val][val_rows], val_targets, products=rows)
            right[test] = own[test, probe.predict(inputs[test])]
        else:  # nothing to tell apart
            right[test] = own[test, targets[0]]
    return right


def tag_queries(labels: Mapping[str, TagLabels], seed: int) -> list[TagQuery]:
    """Queries of one tag, all of them, and of two tags that enough products share, `MOST` of them drawn by the seed."""
    one = [
        TagQuery(ONE, (entity,), value, np.flatnonzero(own.own[:, place]))
        for entity, own in labels.items()
        for place, value in enumerate(own.values)
    ]
    two = []
    for (first, left), (second, right) in itertools.combinations(labels.items(), 2):
        shared = left.own.T.astype(np.int64) @ right.own  # (V, W) products with both values
        for i, j in np.argwhere(shared >= LEAST):
            rows = np.flatnonzero(left.own[:, i] & right.own[:, j])
            two.append(TagQuery(TWO, (first, second), f"{left.values[i]} {right.values[j]}", rows))
    drawn = np.sort(np.random.default_rng(seed).permutation(len(two))[:MOST])
    return one + [two[place] for place in drawn]

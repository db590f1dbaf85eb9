"""Evaluates linear probes on frozen embeddings, per entity, with intervals, for `e2 evaluate probe`.

A probe is fitted on train, its penalty chosen on val, and its accuracy measured on the products of another split. For an E2
model, the entity's region embedding, which was trained on just that tag, is probed too and reported separately.

Every product with the tag counts. Products with a value that train lacks count as wrong; their number is in the record. Of
several values a product each is learned with an equal share, and a probe is right if the value it finds is one of them.
Spellings of one value (*Nike*, *nike*) are one class. ``balanced`` accuracy is the mean over the values, so that rare ones
weigh as much as common ones. Only each product's first photo is used.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from rich.console import RenderableType

from e2.adapters.encoder import Encoder
from e2.adapters.tag_reader import tag_vocabulary
from e2.benchmarks.core.bootstrap import RESAMPLES, Measure, resampled_means
from e2.benchmarks.core.comparison import Comparison, Measured, check_encoders, compare_encoders, write_comparison
from e2.benchmarks.core.encoded import first_photos
from e2.benchmarks.core.tables import metrics_table
from e2.benchmarks.probe.figure import save_bars
from e2.benchmarks.probe.metrics import first_of_each, fit_probe, right_for_any
from e2.counting import counted
from e2.data.product import Catalogue, values_of, without_photos
from e2.errors import InputError
from e2.notes import say
from e2.spelling import by_spelling, spelling

FIGURES = ("probe.png", "probe.svg")
MEAN = "mean_accuracy"


class Splits(NamedTuple):
    """Splits of the probe: ``fit`` to train it, ``val`` to choose its penalty, ``test`` to evaluate it."""

    fit: Catalogue
    val: Catalogue
    test: Catalogue


@dataclass(frozen=True)
class Labels:
    """One entity's labels."""

    values: list[str]  # C values of the training split; class c is ``values[c]``
    rows: tuple[np.ndarray, ...]  # for each split, the products with the tag, each as often as it has values
    classes: tuple[np.ndarray, ...]  # for each split, the classes of these; -1 for a value that the training split lacks
    names: np.ndarray  # the values of the test products in ``rows``, each in one spelling


def evaluate_probe(
    encoders: Sequence[Encoder], splits: Splits, *, seed: int = 0, out: str | Path | None = None, resamples: int = RESAMPLES
) -> Comparison:
    """Probes several encoders for the same tags on the same products, with paired differences.

    Args:
        encoders: one or several.
        splits: of one catalogue, whose entities are probed.
        seed, resamples: of the bootstrap.
        out: folder for `write_comparison` and ``probe.png``.

    Raises:
        InputError: no encoder or one twice, no entities, or none that `read_labels` takes; others are named on stderr.
    """
    check_encoders(encoders, out, *FIGURES)
    left_out: dict[str, str] = {}
    labels = read_labels(splits, left_out)
    for entity, reason in left_out.items():
        say(f"{entity} is not probed: {reason}")
    facts = {
        "not_probed": left_out,
        "fitted_on": {"split": splits.fit.split, "n": len(splits.fit)},
        "chosen_on": {"split": splits.val.split, "n": len(splits.val)},
        "entities": {entity: _facts(own) for entity, own in labels.items()},
    }

    def measure(encoder: Encoder) -> Measured:
        probed = probe_all(encoder, splits, labels)
        metrics, samples = _scores(probed, list(labels), resamples, seed)
        metrics |= {f"{entity}_majority": majority(own) for entity, own in labels.items()}
        return metrics, samples, {**facts, "probes": {name: one.facts for name, one in probed.items()}}

    options: dict[str, Any] = {"text": "none", "seed": seed, "resamples": resamples}
    comparison = compare_encoders(encoders, measure, "probe", "linear", splits.test, **options)
    write_comparison(out, comparison)
    if out is not None:
        save_bars(comparison, Path(out))
    return comparison


def read_labels(splits: Splits, left_out: dict[str, str] | None = None) -> dict[str, Labels]:
    """Reads each entity's labels, without photos.

    Args:
        splits: of one catalogue.
        left_out: takes the entities that cannot be probed, and why, as long as there are others.

    Raises:
        InputError: no entities, one with fewer than two values, or a split without any of it.
    """
    tags = [[product.tags for product in without_photos(split)] for split in splits]
    found: dict[str, Labels] = {}
    errors: dict[str, InputError] = {}
    for entity, values in tag_vocabulary(splits.fit).items():
        try:
            found[entity] = _labels_of(entity, sorted(values), tags, splits)
        except InputError as error:
            errors[entity] = error
    if errors and (left_out is None or not found):
        raise next(iter(errors.values()))
    if left_out is not None:
        left_out |= {entity: str(error) for entity, error in errors.items()}
    return found


def _labels_of(entity: str, values: list[str], tags: list[list[Mapping[str, str]]], splits: Splits) -> Labels:
    where = f"{splits.fit.name} split {splits.fit.split}"
    if len(values) < 2:
        raise InputError(f"{where}: {entity} has one value only ({values[0]}), nothing to tell apart; leave it out of --tags")
    owned = [[values_of(one[entity]) if entity in one else () for one in split] for split in tags]
    rows = tuple(np.repeat(np.arange(len(split)), [len(own) for own in split]) for split in owned)
    empty = [split.split for split, found in zip(splits, rows, strict=True) if not len(found)]
    if empty:
        raise InputError(f"{splits.test.name} split {empty[0]}: no product has the tag {entity}; check --tags")
    place = {spelling(value): number for number, value in enumerate(values)}
    names = [[value for own in split for value in own] for split in owned]
    classes = tuple(np.array([place.get(spelling(name), -1) for name in found]) for found in names)
    shown = by_spelling([*values, *names[-1]])
    return Labels(values, rows, classes, np.array([shown[spelling(name)] for name in names[-1]]))


@dataclass(frozen=True)
class Probed:
    """Result of one probe: (Q,) whether it is right on each row of test products with the tag, and facts of the fit."""

    labels: Labels
    right: np.ndarray
    facts: dict[str, float]


def probe_all(encoder: Encoder, splits: Splits, labels: Mapping[str, Labels]) -> dict[str, Probed]:
    """Probes the image embeddings (``ENTITY``) and region embeddings (``ENTITY_region``)."""
    images, regions = zip(*(first_photos(encoder, split) for split in splits), strict=True)
    features = {entity: (images, own) for entity, own in labels.items()}
    for place, entity in enumerate(encoder.tags):
        if entity in labels:
            features[f"{entity}_region"] = tuple(split[:, place] for split in regions), labels[entity]
    return {name: probe_entity(vectors, own) for name, (vectors, own) in features.items()}


def probe_entity(features: Sequence[np.ndarray], labels: Labels) -> Probed:
    """Fits and evaluates one probe on the features (N, D) of all products of each split."""
    train, val, test = (split[rows] for split, rows in zip(features, labels.rows, strict=True))
    targets, val_targets, _ = labels.classes
    probe = fit_probe(train, targets, val, val_targets, products=(labels.rows[0], labels.rows[1]))
    facts = {"decay": probe.decay, "val_accuracy": 100 * probe.val_accuracy}
    return Probed(labels, right_for_any(probe.predict(test), labels.classes[-1], labels.rows[-1]), facts)


def majority(labels: Labels) -> float:
    """Accuracy in percent of always predicting the training split's most frequent value."""
    guess = np.asarray(np.bincount(labels.classes[0]).argmax())
    return 100 * float(right_for_any(guess, labels.classes[-1], labels.rows[-1])[first_of_each(labels.rows[-1])].mean())


def _scores(
    probed: Mapping[str, Probed], entities: Sequence[str], resamples: int, seed: int
) -> tuple[dict[str, float], dict[str, np.ndarray]]:
    """Metrics in percent and their bootstrap samples; each value of an entity is a measure of its own."""
    measures: list[Measure] = []
    places: dict[str, slice] = {}
    for name, one in probed.items():
        products, values = one.labels.rows[-1], one.labels.names
        parts = [first_of_each(products), *(values == value for value in np.unique(values))]
        places[name] = slice(len(measures), len(measures) + len(parts))
        measures += [Measure(one.right[part, None].astype(float), products[part]) for part in parts]
    point = np.array([[measure.values.mean() for measure in measures]])
    drawn = resampled_means(measures, resamples=resamples, seed=seed)
    found = [_named(100 * means, places, entities) for means in (point, drawn)]
    return {name: float(value[0]) for name, value in found[0].items()}, found[1]


def _named(means: np.ndarray, places: Mapping[str, slice], entities: Sequence[str]) -> dict[str, np.ndarray]:
    """Makes metrics of the (R, K) means of all measures, (R,) each. A balance leaves out absent values (all: NaN)."""
    metrics = {MEAN: np.mean([means[:, places[entity].start] for entity in entities], axis=0)}
    for name, place in places.items():
        metrics[f"{name}_accuracy"] = means[:, place.start]
        each = means[:, place.start + 1 : place.stop]
        present = np.isfinite(each).sum(axis=1)
        metrics[f"{name}_balanced_accuracy"] = np.where(present, np.nansum(each, axis=1), np.nan) / np.maximum(present, 1)
    return metrics


def _facts(labels: Labels) -> dict[str, Any]:
    fitted, _, tested = labels.classes
    unseen = Counter(labels.names[tested < 0].tolist())
    return {
        "values": len(labels.values),
        "values_seen_once": int((np.bincount(fitted) == 1).sum()),
        "fitted_products": len(np.unique(labels.rows[0])),
        "tested_products": len(np.unique(labels.rows[-1])),
        "unseen_values": len(unseen),
        "products_of_unseen_values": unseen.total(),
    }


def results_table(comparison: Comparison) -> RenderableType:
    """Tabulates accuracies by encoder, beside those of region embeddings and of the most frequent value."""
    first = comparison.results[0]
    title = "linear probes on {dataset}, {split}, {n:,} products".format_map(first)
    unseen = sum(facts["products_of_unseen_values"] for facts in first["entities"].values())
    caption = (
        f"percent, 95 % intervals over products; fitted on {counted(first['fitted_on']['n'], 'product')}; "
        f"{unseen:,} tags with values "
        "absent there count as wrong"
    )
    rows = ("accuracy", "region_accuracy", "majority")
    names = [MEAN, *(f"{entity}_{row}" for entity in first["entities"] for row in rows)]
    known = {name for record in comparison.results for name in record["metrics"]}
    names = [name for name in names if name in known]  # balanced accuracies are in the files
    return metrics_table(comparison, names, title, caption)

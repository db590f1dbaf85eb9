"""Accuracies of several entities and their mean, with each product's contribution."""

from collections.abc import Mapping, Sequence

import numpy as np

from e2.benchmarks.probe.evaluate import MEAN
from e2.benchmarks.studies.base import StudyMeasurement


def entity_accuracies(
    right: Mapping[str, tuple[np.ndarray, np.ndarray]], entities: Sequence[str], products: int
) -> StudyMeasurement:
    """Measures ``NAME_accuracy`` in percent for each name, and ``mean_accuracy`` over the entities.

    Args:
        right: name -> rows (R,) of the products that count, and whether each is right, (R,) bool.
        entities: names that the mean is over.
        products: number of all products, P.
    """
    items = {f"{name}_accuracy": np.full(products, np.nan) for name in right}  # NaN: does not count
    for name, (rows, correct) in right.items():
        items[f"{name}_accuracy"][rows] = 100.0 * correct
    metrics = {name: float(np.nanmean(values)) for name, values in items.items()}
    own = [f"{entity}_accuracy" for entity in entities]
    metrics[MEAN] = float(np.mean([metrics[name] for name in own]))
    each = np.stack([items[name] for name in own], axis=1)  # (P, E): the terms of the mean
    items[MEAN] = np.stack([np.nan_to_num(each) / len(own), ~np.isnan(each)], axis=2)
    return StudyMeasurement(metrics, items)

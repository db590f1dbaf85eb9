"""Study `probe`: linear probes of each entity on frozen image embeddings (``e2.benchmarks.probe.evaluate``)."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from e2.adapters.encoder import Encoder
from e2.benchmarks.core.names import measured_on
from e2.benchmarks.probe.evaluate import MEAN, Probed, Splits, majority, probe_all, read_labels
from e2.benchmarks.probe.figure import draw_probes
from e2.benchmarks.studies.base import Context, StudyMeasurement, Variant, methods
from e2.benchmarks.studies.trained import TrainedStudy
from e2.data import Catalogue

FIT, VAL = "train", "val"


def variants(context: Context) -> list[Variant]:
    """Every method that tags can help, against plain contrastive training and against the control without tokens."""
    return methods("clip", "multifield", "e2", against=("clip", "multifield"))


def accuracies(encoder: Encoder, catalogue: Catalogue, context: Context) -> StudyMeasurement:
    """Measures ``ENTITY_accuracy`` and its mean over the entities, ``ENTITY_region_accuracy`` and ``ENTITY_majority``."""
    splits = Splits(context.open(FIT), context.open(VAL), catalogue)
    labels = read_labels(splits)
    probed = probe_all(encoder, splits, labels)
    items = {f"{name}_accuracy": _hits(one, len(catalogue)) for name, one in probed.items()}
    metrics = {name: float(np.nanmean(values)) for name, values in items.items()}
    own = [f"{entity}_accuracy" for entity in labels]
    metrics[MEAN] = float(np.mean([metrics[name] for name in own]))
    items[MEAN] = np.stack([_share(items[name], len(own)) for name in own], axis=1)
    return StudyMeasurement(metrics | {f"{entity}_majority": majority(one) for entity, one in labels.items()}, items)


def _hits(probed: Probed, products: int) -> np.ndarray:
    """(P,) 100 if right, 0 if wrong, NaN if the tag is missing."""
    hits = np.full(products, np.nan)
    hits[probed.labels.rows[-1]] = 100.0 * probed.right
    return hits


def _share(hits: np.ndarray, entities: int) -> np.ndarray:
    """Converts (P,) to (P, 2) sums and counts of one of so many terms of a mean."""
    return np.stack([np.nan_to_num(hits) / entities, ~np.isnan(hits)], axis=1)


def draw(record: Mapping[str, Any], path: Path) -> None:
    """Draws bars by entity, means over seeds."""
    scores = {label: {"metrics": record["metrics"][label], "ci95": record["ci95"][label]} for label in record["metrics"]}
    entities = [name.removesuffix("_accuracy") for name in record["columns"] if name != MEAN]
    draw_probes(scores, entities, f"{measured_on(record)}, {record['n']:,} products", path)


STUDY = TrainedStudy(
    name="probe",
    title="Linear probes",
    question="Which tags can a linear probe read from the frozen image embedding?",
    variants=variants,
    measure=accuracies,
    columns=(MEAN,),
    by_entity="{entity}_accuracy",
    headline=MEAN,
    figure=draw,
    note="Percent of the products with the tag; the probes' penalty is chosen on val.",
)

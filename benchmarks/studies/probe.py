"""Study `probe`: linear probes of each entity on frozen image embeddings (``e2.benchmarks.probe.evaluate``)."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from e2.adapters.encoder import Encoder
from e2.benchmarks.core.names import measured_on
from e2.benchmarks.probe.evaluate import MEAN, Splits, majority, probe_all, read_labels
from e2.benchmarks.probe.figure import draw_probes
from e2.benchmarks.studies.accuracies import entity_accuracies
from e2.benchmarks.studies.base import Context, StudyMeasurement, every_method
from e2.benchmarks.studies.tables import scores_of
from e2.benchmarks.studies.trained import TrainedStudy
from e2.counting import counted
from e2.data import Catalogue

FIT, VAL = "train", "val"


def accuracies(encoder: Encoder, catalogue: Catalogue, context: Context) -> StudyMeasurement:
    """Measures ``ENTITY_accuracy`` and its mean over the entities, ``ENTITY_region_accuracy`` and ``ENTITY_majority``."""
    splits = Splits(context.open(FIT), context.open(VAL), catalogue)
    labels = read_labels(splits)
    right = {name: (one.labels.rows[-1], one.right) for name, one in probe_all(encoder, splits, labels).items()}
    measured = entity_accuracies(right, list(labels), len(catalogue))
    measured.metrics.update({f"{entity}_majority": majority(one) for entity, one in labels.items()})
    return measured


def draw(record: Mapping[str, Any], path: Path) -> None:
    """Draws bars by entity, means over seeds."""
    entities = [name.removesuffix("_accuracy") for name in record["columns"] if name != MEAN]
    draw_probes(scores_of(record), entities, f"{measured_on(record)}, {counted(record['n'], 'product')}", path)


STUDY = TrainedStudy(
    name="probe",
    title="Linear probes",
    question="Which tags can a linear probe read from the frozen image embedding?",
    variants=every_method,
    measure=accuracies,
    columns=lambda context: (MEAN, *(f"{entity}_accuracy" for entity in context.entities)),
    headline=MEAN,
    figure=draw,
    note="Percent of the products with the tag; the probes' penalty is chosen on val.",
)

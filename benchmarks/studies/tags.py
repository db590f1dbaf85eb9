"""Study `tags`: tags read off photos without a probe, by the nearest tag text (``e2.benchmarks.compare.tags``)."""

import numpy as np

from e2.adapters.encoder import Encoder
from e2.benchmarks.compare.tags import read_tag_labels, zero_shot
from e2.benchmarks.core.encoded import first_photos
from e2.benchmarks.studies.base import Context, StudyMeasurement
from e2.benchmarks.studies.controls import variants
from e2.benchmarks.studies.trained import TrainedStudy
from e2.data import Catalogue
from e2.data.product import without_photos

MEAN = "mean_accuracy"


def accuracies(encoder: Encoder, catalogue: Catalogue, context: Context) -> StudyMeasurement:
    """Measures ``ENTITY_accuracy``, read off the region embedding if tags taught it, else the image embedding, and the mean
    of the entities; ``ENTITY_image_accuracy`` is read off the image embedding by every encoder.
    """
    labels = read_tag_labels(list(without_photos(catalogue)), context.entities)
    images, regions = first_photos(encoder, catalogue)
    read = {
        "accuracy": zero_shot(encoder, labels, images, regions),
        "image_accuracy": zero_shot(encoder, labels, images, None),
    }
    items = {}
    for kind, right in read.items():
        for entity, own in labels.items():
            values = np.full(len(catalogue), np.nan)  # NaN: without the tag, or of a rare value
            values[own.rows] = 100.0 * right[entity]
            items[f"{entity}_{kind}"] = values
    metrics = {name: float(np.nanmean(values)) for name, values in items.items()}
    each = np.stack([items[f"{entity}_accuracy"] for entity in labels], axis=1)  # (P, E)
    metrics[MEAN] = float(np.nanmean(each, axis=0).mean())
    items[MEAN] = np.stack([np.nan_to_num(each) / len(labels), ~np.isnan(each)], axis=2)
    return StudyMeasurement(metrics | {f"{entity}_majority": own.majority for entity, own in labels.items()}, items)


STUDY = TrainedStudy(
    name="tags",
    title="Tags read without a probe",
    question="How often is the tag text nearest to a photo the product's own?",
    variants=variants,
    measure=accuracies,
    columns=lambda context: (MEAN, *(f"{entity}_accuracy" for entity in context.entities)),
    headline=MEAN,
    note="Percent of the products with the tag, among its values of five products and more.",
)

"""Study `tags`: tags read off photos without a probe, by the nearest tag text (``e2.benchmarks.compare.tags``)."""

from e2.adapters.encoder import Encoder
from e2.benchmarks.compare.tags import read_tag_labels, zero_shot
from e2.benchmarks.core.encoded import first_photos
from e2.benchmarks.probe.evaluate import MEAN
from e2.benchmarks.studies.accuracies import entity_accuracies
from e2.benchmarks.studies.base import Context, StudyMeasurement
from e2.benchmarks.studies.controls import variants
from e2.benchmarks.studies.trained import TrainedStudy
from e2.data import Catalogue
from e2.data.product import without_photos


def accuracies(encoder: Encoder, catalogue: Catalogue, context: Context) -> StudyMeasurement:
    """Measures ``ENTITY_accuracy``, read off the region embedding if tags taught it, else the image embedding, and the mean
    of the entities; ``ENTITY_image_accuracy`` is read off the image embedding by every encoder.
    """
    labels = read_tag_labels(list(without_photos(catalogue)), context.entities)
    images, regions = first_photos(encoder, catalogue)
    off_images = zero_shot(encoder, labels, images, None)
    best = off_images if regions is None else zero_shot(encoder, labels, images, regions)
    right = {entity: (own.rows, best[entity]) for entity, own in labels.items()}
    right |= {f"{entity}_image": (own.rows, off_images[entity]) for entity, own in labels.items()}
    measured = entity_accuracies(right, list(labels), len(catalogue))
    measured.metrics.update({f"{entity}_majority": own.majority for entity, own in labels.items()})
    return measured


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

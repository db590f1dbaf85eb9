"""Study `groups`: leaves out each entity's tokens and loss in turn, and all of them (the ablation of the paper's table 8).

The tags that a photo shares with its nearest texts show how much of the embedding each entity takes up, and at whose cost.
"""

import numpy as np

from e2.adapters.composed.top_k import search
from e2.adapters.encoder import Encoder
from e2.benchmarks.core.encoded import encoded_once
from e2.benchmarks.core.items import read_items
from e2.benchmarks.retrieval.answers import answer
from e2.benchmarks.studies.base import Context, StudyMeasurement, Variant
from e2.benchmarks.studies.intervals import value
from e2.benchmarks.studies.retrieval import retrieval_of
from e2.benchmarks.studies.trained import TrainedStudy
from e2.data import Catalogue
from e2.data.product import without_photos
from e2.errors import InputError
from e2.spelling import spelling

NEAREST = 10  # nearest texts of a photo to count
SAME = f"same_{{entity}}@{NEAREST}"


def variants(context: Context) -> list[Variant]:
    """Method ``e2`` with all entities; without each one; with none, which is plain contrastive training.

    Raises:
        InputError: fewer than two entities.
    """
    entities = context.entities
    if len(entities) < 2:
        raise InputError("the study leaves one entity out at a time: name two or more by --tags, e.g. --tags brand,season")
    left_out = [
        Variant(f"without-{entity}", {"method": "e2", "data.tags": [e for e in entities if e != entity]}, against=("e2",))
        for entity in entities
    ]
    return [Variant("e2", {"method": "e2"}), *left_out, Variant("none", {"method": "clip"}, against=("e2",))]


def retrieval_and_neighbours(encoder: Encoder, catalogue: Catalogue, context: Context) -> StudyMeasurement:
    """Measures recalls as other studies do, and ``same_ENTITY@10``: the percentage of a photo's ten nearest texts that share
    its tag, of several values any.

    Photos without the tag are left out; a text without it counts as different.

    Raises:
        InputError: no product has a tag of an entity.
    """
    remembered = encoded_once(encoder)
    items = read_items(catalogue, context.text)
    found = retrieval_of(answer(remembered, items, None), len(catalogue))
    images, texts = remembered.encode_images(items.images), remembered.encode_texts(items.texts)
    _, rows = search(images, texts, NEAREST, device=remembered.device)  # (I, 10)
    all_tags = [product.values for product in without_photos(catalogue)]
    for entity in context.entities:
        tags = [frozenset(map(spelling, own.get(entity, ()))) for own in all_tags]
        tagged = np.array([bool(values) for values in tags])
        if not tagged.any():
            raise InputError(f"{catalogue.name} split {catalogue.split}: no product has the tag {entity}; check --tags")
        pairs = zip(items.image_products.tolist(), items.text_products[rows].tolist(), strict=True)
        shared = [100 * float(np.mean([bool(tags[own] & tags[other]) for other in others])) for own, others in pairs]
        sums = np.bincount(items.image_products, shared, minlength=len(tags))
        counts = np.bincount(items.image_products, tagged[items.image_products], minlength=len(tags))
        name = SAME.format(entity=entity)
        found.items[name] = np.stack([sums, counts], axis=-1)[:, None]
        found.metrics[name] = value(found.items[name])
    return found


STUDY = TrainedStudy(
    name="groups",
    title="Leaving one entity out",
    question="Which entity's selection tokens help retrieval, and how much is lost without them?",
    variants=variants,
    measure=retrieval_and_neighbours,
    columns=lambda context: ("SumR", *(SAME.format(entity=entity) for entity in context.entities)),
    described="same_",
    headline="SumR",
    note=f"same ENTITY: percentage of a photo's {NEAREST} nearest texts that share its tag.",
)

"""Measures recalls both ways over the full gallery, as most studies do; ``main`` adds three more protocols."""

import numpy as np

from e2.adapters.encoder import Encoder
from e2.benchmarks.core.encoded import encoded_once
from e2.benchmarks.core.items import read_items
from e2.benchmarks.retrieval.answers import Answers, answer
from e2.benchmarks.retrieval.candidates import NEGATIVES, CandidateGallery, CandidateLists, draw_candidates
from e2.benchmarks.studies.base import Context, StudyMeasurement
from e2.data import Catalogue
from e2.data.product import TEXTS

CANDIDATES_SEED = 0  # of the sampled lists: shared by every variant and seed


def retrieval(encoder: Encoder, catalogue: Catalogue, context: Context) -> StudyMeasurement:
    """Measures ``image_to_text_R@1`` ... ``SumR`` over the full gallery, by the kind of text of the training."""
    return retrieval_of(answer(encoder, read_items(catalogue, context.text), None), len(catalogue))


def all_protocols(encoder: Encoder, catalogue: Catalogue, context: Context) -> StudyMeasurement:
    """Measures the same, and ``PROTOCOL/TEXT/NAME`` for each text, for full and, given sub-categories, sample-100."""
    remembered = encoded_once(encoder)
    measured = StudyMeasurement({}, {})
    for text in TEXTS:
        items = read_items(catalogue, text)
        lists: dict[str, CandidateLists | None] = {"full": None}
        if any(items.categories) and len(catalogue) > NEGATIVES:
            gallery = CandidateGallery(items.image_products, items.text_products, items.categories)
            lists["sample-100"] = draw_candidates(gallery, seed=CANDIDATES_SEED)
        for protocol, drawn in lists.items():
            found = retrieval_of(answer(remembered, items, drawn), len(catalogue))
            own = (protocol, text) == ("full", context.text)
            for prefix in (f"{protocol}/{text}/", *([""] if own else [])):
                measured.metrics.update({prefix + name: value for name, value in found.metrics.items()})
                measured.items.update({prefix + name: parts for name, parts in found.items.items()})
    return measured


def retrieval_of(answers: Answers, products: int) -> StudyMeasurement:
    """Converts answers to metrics and each product's contribution to them."""
    sides = []  # (P, K, 2) each: summed hits in percent and number of queries per product
    for side in (answers.image_to_text, answers.text_to_image):
        hits = 100 * side.hits()
        sums = np.stack([np.bincount(side.products, column, minlength=products) for column in hits.T], axis=1)
        counts = np.bincount(side.products, minlength=products)[:, None]
        sides.append(np.stack([sums, np.broadcast_to(counts, sums.shape)], axis=-1))
    both = np.concatenate(sides, axis=1)
    metrics = answers.metrics()
    items = {name: both[:, [place]] for place, name in enumerate(name for name in metrics if name != "SumR")}
    return StudyMeasurement(metrics, {**items, "SumR": both})

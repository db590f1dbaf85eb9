"""Study `grounding`: where selection tokens look, and whether training changes where the tower looks."""

import numpy as np

from e2.adapters.encoder import Encoder
from e2.adapters.product_images import ProductImages
from e2.benchmarks.grounding.evaluate import score_encoder
from e2.benchmarks.grounding.maps import TOKENS, WITHOUT_TOKENS, own_map
from e2.benchmarks.studies.base import Context, StudyMeasurement, every_method
from e2.benchmarks.studies.trained import TrainedStudy
from e2.data import Catalogue

PRODUCTS = {"boxes": 1000, "windows": 200}  # most products used; windows take 116 views per photo


def looks(encoder: Encoder, catalogue: Catalogue, context: Context) -> StudyMeasurement:
    """Measures ``MEASURE/MAP/ENTITY`` as `e2 evaluate grounding` does, and ``pointing``, ``near`` and ``mass``: means over
    the entities.

    The means are of the tokens, or of the gradient map where an encoder has none.
    """
    truth = "boxes" if catalogue[0].regions else "windows"
    rows = np.arange(min(len(catalogue), PRODUCTS[truth]))
    products = [catalogue[int(row)] for row in rows]
    entities = [entity for entity in context.entities if any(entity in product.tags for product in products)]
    scores, _ = score_encoder(encoder, products, ProductImages.first(catalogue, rows), entities, truth)
    own = own_map(scores.values)
    items = dict(scores.values)
    for measure in ("pointing", "near", "mass"):
        parts = [values for name, values in items.items() if name.startswith(f"{measure}/{own}/")]
        items[measure] = np.ma.masked_invalid(parts).mean(axis=0).filled(np.nan)  # NaN: a product without any tag
    return StudyMeasurement({name: float(np.nanmean(values)) for name, values in items.items()}, items)


STUDY = TrainedStudy(
    name="grounding",
    title="Where tokens look",
    question="Does a selection token look where the tag is?",
    variants=every_method,
    measure=looks,
    columns=("pointing", "near", "mass"),
    headline="pointing",
    note=f"Percent, means over the entities; {TOKENS} for e2, the {WITHOUT_TOKENS} map for encoders without. "
    f"Measured on the first {PRODUCTS['boxes']} products where boxes are known, else {PRODUCTS['windows']}.",
)

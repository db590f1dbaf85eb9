"""Evaluates retrieval of photos by photos, for `e2 evaluate retrieval --image-to-image`.

| task | query | right | gallery |
|---|---|---|---|
| ``same_product`` | each photo of a product with several | the product's other photos | all other photos |
| ``same_tags`` (fine) | a product's first photo | products whose tags are all the same | other products' first photos |
| ``same_garment`` (coarse) | a product's first photo | products of the same kind of garment | other products' first photos |

Photos without a right answer are not queries. The tag that says the kind of garment is found by its name.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import RenderableType

from e2.adapters.encoder import Encoder
from e2.benchmarks.composed.data.garment import garment_tag
from e2.benchmarks.core.bootstrap import RESAMPLES, Measure, resampled_means
from e2.benchmarks.core.comparison import Comparison, Measured, check_encoders, compare_encoders, write_comparison
from e2.benchmarks.core.items import Items, read_items
from e2.benchmarks.core.tables import metrics_table
from e2.benchmarks.retrieval.similar import NAMES, similar_hits, tag_groups
from e2.data.product import Catalogue, without_photos
from e2.errors import InputError
from e2.ranks import TIE_POLICY

PRODUCT, FINE, COARSE = "same_product", "same_tags", "same_garment"


@dataclass(frozen=True)
class AlikeTasks:
    """Groups of photos: ``by_photo`` (I,), the product of each, and ``by_first``, task -> group of each first photo, (P,).

    ``firsts`` (P,) are the rows of the first photos; ``garment`` is the entity of the kind of garment, or None.
    """

    by_photo: np.ndarray
    by_first: dict[str, np.ndarray]
    firsts: np.ndarray
    garment: str | None

    @classmethod
    def of(cls, catalogue: Catalogue, items: Items) -> "AlikeTasks":
        """Groups the photos of a split by product and tags."""
        products = list(without_photos(catalogue))
        garment = garment_tag(catalogue.tags)
        wanted = {FINE: catalogue.tags, COARSE: (garment,) if garment else ()}
        groups = {task: tag_groups(products, entities) for task, entities in wanted.items() if entities}
        firsts = np.unique(items.image_products, return_index=True)[1]
        return cls(items.image_products, groups, firsts, garment)

    def measures(self, images: np.ndarray, device: torch.device) -> dict[str, Measure]:
        """Values of each metric, from the vectors (I, D) of all photos; tasks without a query are left out."""
        photos = torch.from_numpy(images).to(device)
        found: dict[str, Measure] = {}
        for task, groups in {PRODUCT: self.by_photo, **self.by_first}.items():
            rows, values = similar_hits(photos if task == PRODUCT else photos[self.firsts], groups)
            products = self.by_photo[rows] if task == PRODUCT else rows
            if len(rows):
                found |= {f"{task}_{name}": Measure(values[:, [place]], products) for place, name in enumerate(NAMES)}
        return found


def evaluate_image_to_image(
    encoders: Sequence[Encoder],
    catalogue: Catalogue,
    *,
    seed: int = 0,
    out: str | Path | None = None,
    resamples: int = RESAMPLES,
) -> Comparison:
    """Measures how well photos find photos of the same product, of the same tags, and of the same kind of garment.

    Args:
        encoders: one or several; several are compared on the same queries, with paired intervals.
        catalogue: one split.
        seed, resamples: of the bootstrap over products.
        out: folder for ``metrics.json`` (several encoders: a folder each, and ``comparison.json``).

    Raises:
        InputError: no encoder or one twice, or no photo has a right answer.
    """
    check_encoders(encoders, out)
    items = read_items(catalogue, "caption")
    tasks = AlikeTasks.of(catalogue, items)

    def measure(encoder: Encoder) -> Measured:
        found = tasks.measures(encoder.encode_images(items.images), encoder.device)
        if not found:
            raise InputError(
                f"{catalogue.name} split {catalogue.split}: no product has a second photo, or shares its tags with another; "
                "name tags by --tags, e.g. --tags sub_category,colour"
            )
        drawn = 100 * resampled_means(list(found.values()), resamples=resamples, seed=seed)
        metrics = {name: 100 * float(one.values.mean()) for name, one in found.items()}
        queries = {
            name.removesuffix(f"_{NAMES[0]}"): len(one.values) for name, one in found.items() if name.endswith(NAMES[0])
        }
        facts = {"n_images": len(items.images), "queries": queries, "garment": tasks.garment, "tie_policy": TIE_POLICY}
        return metrics, dict(zip(found, drawn.T, strict=True)), facts

    options: dict[str, Any] = {"text": "none", "seed": seed, "resamples": resamples}
    comparison = compare_encoders(encoders, measure, "retrieval", "image-to-image", catalogue, **options)
    write_comparison(out, comparison)
    return comparison


def alike_table(comparison: Comparison) -> RenderableType:
    """Tabulates metrics by encoder, then the paired differences; see `metrics_table`."""
    first = comparison.results[0]
    title = "{protocol} on {dataset}, {split}, {n_images:,} photos".format_map(first)
    counts = ", ".join(f"{task.replace('_', ' ')} {count:,}" for task, count in first["queries"].items())
    return metrics_table(
        comparison, list(first["metrics"]), title, f"percent, 95 % intervals over products; queries: {counts}"
    )

"""Evaluates retrieval on a split with one or several encoders, with intervals, for `e2 evaluate retrieval`.

Protocols (name the one used: results differ by tens of points):

- ``full``: every photo against every text of the split and back, products as ground truth; by a rule of product vectors, every
  product against every text.
- ``first-photo``: the authors' variant, one photo and one text per product, a square matrix.
- ``sample-100``: one positive among 100 negatives, of the same sub-category or any, 1,000 queries, mean and spread of 5 runs.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import RenderableType

from e2.adapters.encoder import Encoder
from e2.adapters.product_vector import ProductVector
from e2.benchmarks.core.bootstrap import RESAMPLES
from e2.benchmarks.core.comparison import Comparison, Measured, check_encoders, compare_encoders, write_comparison
from e2.benchmarks.core.items import CATEGORY, Items, read_items
from e2.benchmarks.core.tables import metrics_table
from e2.benchmarks.retrieval.answers import answer
from e2.benchmarks.retrieval.candidates import CandidateGallery, CandidateLists, draw_candidates, load_candidates
from e2.data.product import Catalogue
from e2.distributed import processes
from e2.errors import InputError, require_choice
from e2.ranks import TIE_POLICY

LISTS = "candidates.npz"
PROTOCOLS = ("full", "first-photo", "sample-100")


def evaluate_retrieval(
    encoders: Sequence[Encoder],
    catalogue: Catalogue,
    *,
    protocol: str = "full",
    text: str = "caption",
    product_vector: ProductVector | None = None,
    seed: int = 0,
    out: str | Path | None = None,
    rule: str = "fame-vil",
    candidates: str | Path | None = None,
    resamples: int = RESAMPLES,
) -> Comparison:
    """Measures retrieval both ways.

    Args:
        encoders: one or several; several are compared on the same queries and lists, with paired intervals.
        catalogue: one split.
        protocol: ``full``, ``first-photo`` or ``sample-100``.
        text: ``caption`` or ``full`` (description and tags).
        product_vector: rule by which all photos of a product are one in ``full`` and ``sample-100``; None: each by itself.
        seed: of the sampled lists and of the bootstrap.
        out: folder for ``metrics.json`` (several encoders: a folder each, and ``comparison.json``) and ``candidates.npz``.
        rule: source of negatives in ``sample-100``: ``fame-vil``, ``authors`` or ``any``.
        candidates: saved lists to use instead of drawing new ones; they bring their own rule.
        resamples: of the bootstrap.

    Raises:
        InputError: unknown protocol, text or rule; a product vector with texts; no encoder or one twice; a split too small or
            without sub-categories.
    """
    require_choice("protocol", protocol, PROTOCOLS)
    if product_vector and (product_vector.text or protocol == "first-photo"):
        raise InputError(
            f"product vector {product_vector}: --protocol {protocol} asks for photos by the products' own texts; give photos "
            "alone, with full or sample-100, or judged queries by --qrels"
        )
    check_encoders(encoders, out, LISTS)
    items = read_items(catalogue, text, first_only=protocol == "first-photo", product_vector=product_vector)
    lists = _lists(items, rule, seed, candidates) if protocol == "sample-100" else None
    facts = _facts(items, lists)

    def measure(encoder: Encoder) -> Measured:
        answers = answer(encoder, items, lists)
        metrics = answers.metrics()
        samples = dict(zip(metrics, answers.samples(resamples, seed).T, strict=True))
        identical = len(items.texts) - len(set(encoder.text_keys(items.texts)))  # it cannot tell these apart
        own = {"truncated_texts": encoder.truncated(items.texts), "identical_texts": identical}
        spread = {} if lists is None else {"spread": answers.spread()}
        return metrics, samples, {**own, **facts, "tie_bounds": answers.tie_bounds(), **spread}

    options: dict[str, Any] = {"text": text, "seed": seed, "resamples": resamples}
    comparison = compare_encoders(encoders, measure, "retrieval", protocol, catalogue, **options)
    if out is not None and lists is not None and processes().is_main_process:
        lists.save(Path(out) / LISTS)
    write_comparison(out, comparison)
    return comparison


def results_table(comparison: Comparison) -> RenderableType:
    """Tabulates metrics by encoder, then the paired differences; see `metrics_table`."""
    first = comparison.results[0]
    title = "{protocol} retrieval on {dataset}, {split}, text {text}, {n} products".format_map(first)
    return metrics_table(
        comparison, list(first["metrics"]), title, f"percent, 95 % intervals over products; {first['tie_policy']}"
    )


def _lists(items: Items, rule: str, seed: int, candidates: str | Path | None) -> CandidateLists:
    if rule != "any" and not candidates and not any(items.categories):
        raise InputError(
            f"sample-100 draws from each product's {CATEGORY}, which no product has; name its column by --tags, "
            "or draw from the whole split by --rule any"
        )
    gallery = CandidateGallery(items.image_products, items.text_products, items.categories)
    return load_candidates(candidates, gallery) if candidates else draw_candidates(gallery, rule=rule, seed=seed)


def _facts(items: Items, lists: CandidateLists | None) -> dict[str, Any]:
    """Facts that hold for all encoders."""
    facts: dict[str, Any] = {"n_images": len(items.images), "n_texts": len(items.texts), "tie_policy": TIE_POLICY}
    if items.product_vector:
        facts["product_vector"] = str(items.product_vector)
    if lists is not None:
        runs, queries, length = lists.text_candidates.shape
        short = int((lists.text_candidates[..., -1] < 0).sum() + (lists.image_candidates[..., -1] < 0).sum())
        facts["sampling"] = {"rule": lists.rule, "runs": runs, "queries": queries, "negatives": length - 1}
        facts["sampling"]["short_lists"] = short
    return facts

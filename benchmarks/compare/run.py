"""Compares models on a catalogue: each is loaded, measured and let go in turn, then the page is written."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
from rich.console import RenderableType

from e2.adapters.encoder import Encoder, load_encoder
from e2.adapters.product_vector import ALL_PHOTOS, ProductVector
from e2.benchmarks.compare.evaluate import CompareTasks, measure
from e2.benchmarks.compare.page import HEADLINES, PAGE, write_compare_page
from e2.benchmarks.compare.store import SAMPLES, MeasuredStore
from e2.benchmarks.core.bootstrap import RESAMPLES
from e2.benchmarks.core.comparison import COMPARISON, Comparison, MeasuredEncoder, check_different, claim_comparison
from e2.benchmarks.core.comparison import compare as compare_measured
from e2.benchmarks.core.tables import metrics_table
from e2.data.catalogue import ArrowCatalogue, Subset
from e2.data.fingerprint import digest, fingerprint, photo_digest
from e2.errors import InputError
from e2.files import write_json
from e2.notes import say

OPEN_CLIP, HUB = "open_clip:", "hf-hub:"


def compare_models(
    models: Sequence[str],
    catalogue: ArrowCatalogue | Subset,
    out: Path,
    *,
    text: str = "caption",
    product_vector: ProductVector = ALL_PHOTOS,
    products: int | None = None,
    seed: int = 0,
    resamples: int = RESAMPLES,
    **loading: Any,
) -> Comparison:
    """Measures models on one catalogue and writes ``index.html`` and ``comparison.json``.

    Args:
        models: names for `load_encoder`; those measured on the same data by an earlier call are only loaded.
        catalogue: one split.
        out: folder of the page, and of each model's measurement.
        text: of the products, ``caption`` or ``full``.
        product_vector: rule of the products that bare tags and descriptions find.
        products: most to measure on, drawn by the seed; None: all.
        seed: of sample, folds, queries and bootstrap.
        resamples: of the bootstrap.
        loading: options of `load_encoder`.

    Raises:
        InputError: a model that cannot be loaded, after the others are measured and the page is written; no model or one
            twice; a catalogue of fewer than two products; ``out`` holds files of others.
    """
    check_different(models, "models")
    claim_out(out)
    if products and products < len(catalogue):
        catalogue = Subset(catalogue, np.sort(np.random.default_rng(seed).permutation(len(catalogue))[:products]))
    tasks = CompareTasks.of(catalogue, text, seed, resamples, product_vector)
    store = MeasuredStore(out, tasks, digest([fingerprint(catalogue), photo_digest(catalogue)]))
    measured: list[MeasuredEncoder] = []
    missing: dict[str, str] = {}
    for name in models:
        try:
            measured.append(_measured(load_encoder(name, **loading), tasks, store))
        except InputError as error:
            missing[name] = f"{error}{where_to_get(name)}"
            say(f"{name} is left out: {missing[name]}")
    if not measured:
        raise InputError("none of the models could be measured; see above")
    comparison = compare_measured(measured)
    write_json(out / COMPARISON, {**asdict(comparison), "left_out": missing})
    write_compare_page(out / PAGE, comparison, catalogue, missing)
    if missing:
        raise InputError(
            f"{len(missing)} of {len(models)} models could not be measured ({', '.join(missing)}; see above); {out / PAGE} "
            "has the others, and the same command measures only what is missing"
        )
    return comparison


def claim_out(out: Path) -> None:
    """Refuses, before any work, a folder that holds files of others under our names."""
    claim_comparison(out, PAGE, *(str(path.relative_to(out)) for path in out.glob(f"*/{SAMPLES}")))


def _measured(encoder: Encoder, tasks: CompareTasks, store: MeasuredStore) -> MeasuredEncoder:
    name = encoder.info["path"]
    if found := store.read(encoder):
        say(f"{name}: measured before, {store.folder(encoder)}")
        return found
    say(f"{name}: measuring")
    new = measure(encoder, tasks)
    store.write(encoder, new)
    return new


def where_to_get(name: str) -> str:
    """Says which repository holds the weights of a model that cannot be fetched here; empty if that is not known."""
    repository = name.removeprefix(HUB) if name.startswith(HUB) else ""
    if name.startswith(OPEN_CLIP):
        architecture, _, tag = name.removeprefix(OPEN_CLIP).partition("/")
        repository = open_clip.get_pretrained_cfg(architecture, tag).get("hf_hub", "").rstrip("/") if tag else ""
    if not repository:
        return ""
    folder = repository.rpartition("/")[2]
    return (
        f"; its weights are in the hub repository {repository}: with a network, `hf download {repository} --local-dir "
        f"{folder}` fetches them, then name the model local-dir:{folder} (of transformers: transformers:{folder})"
    )


def summary_table(comparison: Comparison) -> RenderableType:
    """Tabulates the headline metrics by model, then the paired differences; see `metrics_table`."""
    first = comparison.results[0]
    names = [name for name in HEADLINES if any(name in record["metrics"] for record in comparison.results)]
    title = "{dataset}, {split}, {n:,} products, text {text}".format_map(first)
    return metrics_table(comparison, names, title, "percent, 95 % intervals; the page has all")

"""Composed-retrieval benchmarks by name: published data sets, and those made from a tagged catalogue."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from e2.adapters.product_vector import ALL_PHOTOS, ProductVector
from e2.benchmarks.composed.data import circo, cirr
from e2.benchmarks.composed.data.attribute_queries import DROP, SWAP, draw_queries
from e2.benchmarks.composed.data.circo import load_circo
from e2.benchmarks.composed.data.cirr import load_cirr
from e2.benchmarks.composed.data.fashion200k import load_fashion200k
from e2.benchmarks.composed.data.fashioniq import load_fashioniq
from e2.benchmarks.composed.data.garment import kept_tags
from e2.benchmarks.composed.data.tagged_products import TaggedProducts
from e2.benchmarks.composed.data.tagged_queries import TaggedQueries, tagged_task
from e2.benchmarks.composed.data.task import Task
from e2.data import open_catalogue, parse_tags
from e2.data.product import Catalogue
from e2.errors import InputError, require_choice
from e2.options import TableOptions

PUBLISHED: dict[str, tuple[Callable[..., Task], str]] = {  # loader and the split that papers report
    "fashioniq": (load_fashioniq, "val"),
    "cirr": (load_cirr, "val"),
    "circo": (load_circo, "val"),
    "fashion200k": (load_fashion200k, "test"),
}
TAGGED = (SWAP, DROP)
BENCHMARKS = (*TAGGED, *PUBLISHED)
SUBMISSIONS: dict[str, Callable[..., list[Path]]] = {"cirr": cirr.write_submission, "circo": circo.write_submission}


def published_task(
    benchmark: str,
    annotations: str | Path | None,
    images: str | Path | None,
    *,
    split: str | None = None,
    missing: str = "error",
    gallery: str | None = None,
) -> Task:
    """Loads a published data set; without a split, the one that papers report.

    Raises:
        InputError: unknown name, a folder that is not given, or what the loader refuses.
    """
    require_choice("benchmark", benchmark, PUBLISHED)
    if annotations is None or images is None:
        raise InputError(f"{benchmark} needs --annotations DIR and --images DIR, the folders of its files as published")
    load, usual = PUBLISHED[benchmark]
    options = {"gallery": gallery} if gallery and benchmark == "fashioniq" else {}
    if gallery and not options:
        raise InputError(f"--gallery chooses FashionIQ's gallery; {benchmark} has only one")
    return load(annotations, images, split=split or usual, missing=missing, **options)


def open_tagged(
    spec: str, split: str | None, *, tags: str | None = None, keep: str | None = None, table: TableOptions | None = None
) -> tuple[Catalogue, tuple[str, ...]]:
    """Opens a catalogue with its tags and those that right answers keep, which need not be among the given ones.

    Args:
        spec, split: of `open_catalogue`.
        tags: as in ``--tags``; None: the source's defaults.
        keep: likewise; None: the kind of garment, among the tags or else the columns.
        table: how tables are read.

    Raises:
        InputError: what `open_catalogue` or `kept_tags` refuses.
    """
    wanted, further = parse_tags(keep) if keep else ((), {})
    reading = (table or TableOptions()).read(tags)
    reading["columns"] = replace(reading["columns"], tags={**further, **reading["columns"].tags})
    catalogue = open_catalogue(spec, split, **reading)
    kept = kept_tags(wanted, catalogue.tags, catalogue.columns, name=spec)
    if set(kept) <= set(catalogue.tags):
        return catalogue, kept
    reading["tags"] = tuple(dict.fromkeys((*catalogue.tags, *kept)))
    return open_catalogue(spec, split, **reading), kept


def draw_task(
    benchmark: str,
    catalogue: Catalogue,
    *,
    queries: str | Path | None = None,
    target: str | None = None,
    text: str = "caption",
    keep: Sequence[str] | None = None,
    product_vector: ProductVector | None = None,
    **drawing: Any,
) -> tuple[Task, TaggedQueries]:
    """Makes a benchmark from a catalogue's tags, and its list of queries.

    Args:
        benchmark: ``attribute-swap`` or ``attribute-drop``.
        catalogue: one split, with its tags.
        queries: a saved list to use instead of a new one.
        target: what to search, ``image`` or ``text``; None: images for swaps, texts for drops.
        text: kind of text to search, ``caption`` or ``full``.
        keep: tags of the catalogue that stay unless a wish names them; None: the kind of garment.
        product_vector: rule of the products' vectors if images are searched; None: the mean of the photos.
        drawing: options of `draw_queries`.

    Raises:
        InputError: unknown options, a list of other products, or a catalogue without such queries.
    """
    listed = None if queries is None else TaggedQueries.load(queries)
    searched = target or ("image" if benchmark == SWAP else "text")
    if product_vector and searched == "text":
        raise InputError(f"product vector {product_vector}: {benchmark} searches descriptions; give --target image")
    kept = keep if listed is None else listed.settings["keep"]
    products = TaggedProducts(catalogue, text, kept, product_vector or ALL_PHOTOS)
    if listed is None:
        listed = draw_queries(benchmark, products, **drawing)
    elif (drawn_for := listed.settings["benchmark"]) != benchmark:
        raise InputError(f"{queries} holds {drawn_for} queries; give --benchmark {drawn_for}")
    return tagged_task(listed, products, target=searched), listed

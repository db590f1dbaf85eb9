"""Command `e2 data amazon-fashion`."""

from pathlib import Path
from typing import Annotated

import typer

from e2.counting import counted
from e2.options import FetchOptions, Json, Out, Overwrite, Resume, Seed, show


def amazon_fashion(
    meta: Annotated[Path, typer.Option(help="Amazon Reviews metadata of fashion, 2018 or 2023: JSON lines, also .gz")],
    out: Out,
    web: FetchOptions,
    photos: Annotated[int, typer.Option(min=1, help="per product, at most")] = 1,
    min_brand_products: Annotated[int, typer.Option(min=1, help="leave out brands with fewer products")] = 1,
    limit: Annotated[int | None, typer.Option(min=1, help="products to take, drawn at random; all if not given")] = None,
    val: Annotated[float, typer.Option(min=0, max=1, help="share of the products for validation")] = 0.05,
    test: Annotated[float, typer.Option(min=0, max=1, help="share of the products for the test")] = 0.05,
    shard_size: Annotated[int, typer.Option(min=1, help="products per tar shard")] = 1000,
    seed: Seed = 0,
    resume: Resume = False,
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Build the AmazonFashion data set: products with title, brand and photo out of Amazon Reviews metadata.

    Photos are fetched from the web, at `--rate`, into tar shards, to be read by `--data amazon-fashion:OUT`.

    Example: `e2 data amazon-fashion --meta meta_AMAZON_FASHION.jsonl.gz --out data/amazon`
    """
    from e2.data.amazon.build import build_amazon_fashion
    from e2.data.amazon.planning import Selection
    from e2.data.amazon.statistics import statistics_tables
    from e2.data.fetch.photos import Manners

    selection = Selection(val, test, seed, photos, min_brand_products, limit, shard_size)
    manners = Manners(**vars(web))
    found = build_amazon_fashion(meta, out, selection=selection, manners=manners, resume=resume, overwrite=overwrite)
    line = f"wrote {counted(found['total']['products'], 'product')} to {out}; read them by --data amazon-fashion:{out}"
    show(found, json, statistics_tables(found), line)

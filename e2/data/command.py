"""Commands `e2 data info`, `import` and `make`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import typer

from e2.errors import InputError
from e2.options import FetchOptions, Json, Lacking, Out, Overwrite, Resume, Seed, TableOptions, Tags, show, wrote


@dataclass(frozen=True, kw_only=True)
class ImportTableOptions(TableOptions):
    """Options for reading tables that are imported."""

    on_bad_row: Annotated[Lacking | None, typer.Option(help="skip and count (exports), or stop (others) if not given")] = None  # type: ignore[assignment]


def info(
    spec: Annotated[str, typer.Argument(metavar="SPEC")],
    table: TableOptions,
    out: Annotated[Path | None, typer.Option(help="folder for info.json, tags.png and contact_sheet.png")] = None,
    tags: Tags = None,
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Show a catalogue's sizes, tags, texts and photos.

    Example: `e2 data info catalogue.parquet --tags brand,season --out runs/info`
    """
    from e2.data.info import info_table, write_info

    found = write_info(spec, out, **table.read(tags), seed=seed)
    lines = [f"wrote info.json, tags.png and contact_sheet.png to {out}"] if out else []
    show(found, json, info_table(found), *lines)


def import_(
    spec: Annotated[str, typer.Argument(metavar="SPEC", help="also the exports of shops: shopify:, merchant:, JSON")],
    out: Annotated[Path, typer.Option(help="folder to write to; of an export also one table, FILE.parquet")],
    table: ImportTableOptions,
    web: FetchOptions,
    tags: Annotated[str | None, typer.Option(help="columns to keep; of exports all if not given, of tables none")] = None,
    caption: Annotated[str | None, typer.Option(help="captions from several columns, e.g. '{title}. {description}'")] = None,
    group_by: Annotated[
        str | None, typer.Option(help="column that the rows of one product share; a row without a value in it goes by its id")
    ] = None,
    photos: Annotated[int, typer.Option(min=1, help="per product of an export, at most")] = 20,
    val: Annotated[float, typer.Option(min=0, max=1, help="share of an export's products for validation")] = 0.0,
    test: Annotated[float, typer.Option(min=0, max=1, help="share of an export's products for the test")] = 0.0,
    seed: Seed = 0,
    to: Annotated[Literal["parquet", "webdataset"], typer.Option(help="one table per split, or tar shards")] = "parquet",
    shard_size: Annotated[int, typer.Option(min=1, help="products per shard")] = 1000,
    resume: Resume = False,
    overwrite: Overwrite = False,
) -> None:
    """Write any catalogue as parquet tables or as tar shards, photos inside. `hf-stream:ORG/NAME` is read once.

    Exports of shops (`shopify:FILE`, `merchant:FILE`, JSON, tables with addresses of photos) get one row per product, plain
    texts and their photos, which are fetched from the web at `--rate`.

    Example: `e2 data import shopify:products_export.csv --val 0.05 --test 0.1 --out data/shop`
    """
    from e2.data.shop.detect import shop_source
    from e2.data.shop.folder import claim_import

    claim_import(out, resume=resume, overwrite=overwrite)  # before any work
    options = table.read(tags)
    divided = bool(val or test)
    source = shop_source(spec, options["columns"], group_by=group_by, caption=caption, most_photos=photos, shaped=divided)
    if source is None:
        from e2.data.export import import_catalogue

        options["on_bad_row"] = table.on_bad_row or "error"
        sizes = import_catalogue(spec, out, **options, to=to, shard_size=shard_size, overwrite=overwrite)
    else:
        from e2.data.fetch.photos import Manners
        from e2.data.shares import Shares
        from e2.data.shop.importing import ImportFormat, import_export

        options["on_bad_row"] = table.on_bad_row or "skip"
        written = ImportFormat(to, shard_size, Shares(val, test, seed) if divided else None)
        manners = Manners(**vars(web))
        sizes = import_export(
            source, spec, out, **options, written=written, manners=manners, resume=resume, overwrite=overwrite
        )
    print(wrote(sizes, out))


def make(
    out: Out,
    drawn: Annotated[str, typer.Argument(metavar="SPEC", help="boutique or boutique:train=...,seed=...")] = "boutique",
    overwrite: Overwrite = False,
) -> None:
    """Draw the built-in catalogue into a folder of parquet tables.

    Example: `e2 data make boutique:train=1000,val=100,test=100,seed=1 --out runs/boutique`
    """
    from e2.data.export import import_catalogue

    if drawn.partition(":")[0] != "boutique":
        raise InputError(f"e2 data make draws boutique only, not {drawn}; use e2 data import for other catalogues")
    print(wrote(import_catalogue(drawn, out, overwrite=overwrite), out))

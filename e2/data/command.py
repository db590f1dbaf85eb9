"""Commands `e2 data info`, `import` and `make`."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from e2.errors import InputError
from e2.options import Json, Out, Overwrite, Seed, TableOptions, Tags, show, wrote


def info(
    spec: Annotated[str, typer.Argument(metavar="SPEC")],
    table: TableOptions,
    out: Annotated[Path | None, typer.Option(help="folder for info.json, tags.png and contact_sheet.png")] = None,
    tags: Tags = None,
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Sizes, tags, texts and pictures of a catalogue.

    Example: `e2 data info catalogue.parquet --tags brand,season --out runs/info`
    """
    from e2.data.info import info_table, write_info

    found = write_info(spec, out, **table.read(tags), seed=seed)
    lines = [f"wrote info.json, tags.png and contact_sheet.png to {out}"] if out else []
    show(found, json, info_table(found), *lines)


def import_(
    spec: Annotated[str, typer.Argument(metavar="SPEC")],
    out: Out,
    table: TableOptions,
    tags: Annotated[str | None, typer.Option(help="entities to keep; other columns of a table are dropped")] = None,
    to: Annotated[Literal["parquet", "webdataset"], typer.Option(help="a table a split, or tar shards")] = "parquet",
    shard_size: Annotated[int, typer.Option(min=1, help="products per shard")] = 1000,
    overwrite: Overwrite = False,
) -> None:
    """Write any catalogue as parquet tables or as tar shards, photos inside. `hf-stream:ORG/NAME` is read once.

    Example: `e2 data import products:~/fashion --to webdataset --out runs/products`
    """
    from e2.data.export import import_catalogue

    print(wrote(import_catalogue(spec, out, **table.read(tags), to=to, shard_size=shard_size, overwrite=overwrite), out))


def make(
    out: Out,
    spec: Annotated[str, typer.Argument(metavar="SPEC", help="boutique or boutique:train=...,seed=...")] = "boutique",
    overwrite: Overwrite = False,
) -> None:
    """Draw the built-in catalogue into a folder of parquet tables.

    Example: `e2 data make boutique:train=1000,val=100,test=100,seed=1 --out runs/boutique`
    """
    from e2.data.export import import_catalogue

    if spec.partition(":")[0] != "boutique":
        raise InputError(f"e2 data make draws boutique only, not {spec}; use e2 data import for other catalogues")
    print(wrote(import_catalogue(spec, out, overwrite=overwrite), out))

"""Commands `e2 data info`, `import` and `make`."""

import json as jsonlib
from pathlib import Path
from typing import Annotated, Any

import typer

from e2.errors import InputError
from e2.options import CaptionColumn, IdColumn, ImageColumn, Json, OnBadRow, Out, Seed, Tags, columns_of


def info(
    spec: Annotated[str, typer.Argument(metavar="SPEC")],
    out: Annotated[Path | None, typer.Option(help="folder for info.json, tags.png and contact_sheet.png")] = None,
    tags: Tags = None,
    image_column: ImageColumn = "image",
    caption_column: CaptionColumn = "caption",
    id_column: IdColumn = "product_id",
    on_bad_row: OnBadRow = "error",
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Sizes, tags, texts and pictures of a catalogue.

    Example: `e2 data info catalogue.parquet --tags brand,season --out runs/info`
    """
    from rich.console import Console

    from e2.data.info import info_table, write_info

    names, columns = columns_of(tags, (image_column, caption_column, id_column))
    found = write_info(spec, out, tags=names, columns=columns, on_bad_row=on_bad_row, seed=seed)
    if json:
        print(jsonlib.dumps(found, indent=2, ensure_ascii=False))
    else:
        Console().print(info_table(found))
        if out:
            print(f"wrote info.json, tags.png and contact_sheet.png to {out}")


def import_(
    spec: Annotated[str, typer.Argument(metavar="SPEC")],
    out: Out,
    tags: Annotated[str | None, typer.Option(help="entities to keep; other columns of a table are dropped")] = None,
    image_column: ImageColumn = "image",
    caption_column: CaptionColumn = "caption",
    id_column: IdColumn = "product_id",
    on_bad_row: OnBadRow = "error",
    to: Annotated[str, typer.Option(help="parquet (a table per split) or webdataset (tar shards)")] = "parquet",
    shard_size: Annotated[int, typer.Option(min=1, help="products per shard")] = 1000,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="replace an earlier import in --out")] = False,
) -> None:
    """Write any catalogue as parquet tables or as tar shards, photos inside. `hf-stream:ORG/NAME` is read once.

    Example: `e2 data import products:~/fashion --to webdataset --out runs/products`
    """
    from e2.data.export import import_catalogue

    names, columns = columns_of(tags, (image_column, caption_column, id_column))
    options: dict[str, Any] = {"on_bad_row": on_bad_row, "to": to, "shard_size": shard_size, "overwrite": overwrite}
    sizes = import_catalogue(spec, out, tags=names, columns=columns, **options)
    print(f"wrote {', '.join(f'{split} ({count:,} products)' for split, count in sizes.items())} to {out}")


def make(
    out: Out,
    spec: Annotated[str, typer.Argument(metavar="SPEC", help="boutique or boutique:train=...,seed=...")] = "boutique",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="replace an earlier one in --out")] = False,
) -> None:
    """Draw the built-in catalogue into a folder of parquet tables.

    Example: `e2 data make boutique:train=1000,val=100,test=100,seed=1 --out runs/boutique`
    """
    from e2.data.export import import_catalogue

    if spec.partition(":")[0] != "boutique":
        raise InputError(f"e2 data make draws boutique only, not {spec}; use e2 data import for other catalogues")
    sizes = import_catalogue(spec, out, overwrite=overwrite)
    print(f"wrote {', '.join(f'{split} ({count:,} products)' for split, count in sizes.items())} to {out}")

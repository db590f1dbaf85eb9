"""The command `e2 wise-ft`."""

import json as jsonlib
from pathlib import Path
from typing import Annotated

import typer

from e2.errors import InputError
from e2.options import (
    BatchSize,
    CaptionColumn,
    Data,
    Device,
    IdColumn,
    ImageColumn,
    Json,
    OnBadRow,
    Out,
    Precision,
    Seed,
    Split,
    Tags,
    Text,
    Workers,
    open_data,
)


def wise_ft(
    model: Annotated[Path, typer.Option(help="a run of e2 train that started from pre-trained weights")],
    data: Data,
    out: Out,
    alphas: Annotated[str, typer.Option(help="shares of the trained weights, 0 (start model) to 1")] = "0,0.2,0.4,0.6,0.8,1",
    old_data: Annotated[str | None, typer.Option(metavar="SPEC", help="data that the start model is good at")] = None,
    save: Annotated[float | None, typer.Option(help="write the model of this share to --out")] = None,
    protocol: Annotated[str, typer.Option(help="full or first-photo")] = "full",
    split: Split = None,
    tags: Tags = None,
    text: Text = "caption",
    image_column: ImageColumn = "image",
    caption_column: CaptionColumn = "caption",
    id_column: IdColumn = "product_id",
    on_bad_row: OnBadRow = "error",
    seed: Seed = 0,
    batch_size: BatchSize = 64,
    device: Device = "auto",
    precision: Precision = "fp32",
    workers: Workers = 2,
    json: Json = False,
) -> None:
    """Measure the weights between a run's start model and its end, on new and on old data (WiSE-FT).

    Example: `e2 wise-ft --model runs/mine --data catalogue.parquet --old-data fashion-products --out runs/wise`
    """
    from rich.console import Console

    from e2.benchmarks.wise_ft.evaluate import claim_sweep, sweep, sweep_table

    claim_sweep(out, save)
    try:
        shares = [float(share) for share in alphas.split(",")]
    except ValueError as error:
        raise InputError(f"--alphas {alphas}: write numbers from 0 to 1, e.g. 0,0.5,1") from error
    names = (image_column, caption_column, id_column)
    catalogues = [open_data(spec, split, tags, names, on_bad_row) for spec in (data, old_data) if spec]
    entries = sweep(
        model,
        shares,
        catalogues,
        out,
        protocol=protocol,
        text=text,
        seed=seed,
        save=save,
        batch_size=batch_size,
        device=device,
        precision=precision,
        workers=workers,
    )
    if json:
        print(jsonlib.dumps(entries, indent=2))
    else:
        Console().print(sweep_table(entries))

"""The command `e2 evaluate grounding`."""

import json as jsonlib
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from e2.options import (
    BatchSize,
    CaptionColumn,
    Data,
    Device,
    IdColumn,
    ImageColumn,
    Json,
    Models,
    OnBadRow,
    Precision,
    Seed,
    Split,
    Tags,
    Workers,
    open_data,
)


def grounding(
    model: Models,
    data: Data,
    split: Split = "test",
    tags: Tags = None,
    truth: Annotated[
        str | None, typer.Option(help="boxes (known to boutique) or windows (best crop or blur); boxes if there are some")
    ] = None,
    products: Annotated[int, typer.Option(min=1, help="at most so many are looked at")] = 1000,
    out: Annotated[Path | None, typer.Option(help="folder for metrics.json")] = None,
    image_column: ImageColumn = "image",
    caption_column: CaptionColumn = "caption",
    id_column: IdColumn = "product_id",
    on_bad_row: OnBadRow = "error",
    batch_size: BatchSize = 64,
    seed: Seed = 0,
    device: Device = "auto",
    precision: Precision = "fp32",
    workers: Workers = 2,
    json: Json = False,
) -> None:
    """Do selection tokens look where the tag is? The pointing game, against maps of plain CLIP, the centre and chance.

    Example: `e2 evaluate grounding --model runs/clip --model runs/e2 --data boutique --out runs/grounding`
    """
    from rich.console import Console

    from e2.adapters.encoder import load_encoder
    from e2.benchmarks.core.comparison import claim_comparison
    from e2.benchmarks.grounding.evaluate import FIGURES, evaluate_grounding, grounding_tables

    claim_comparison(out, *FIGURES)
    catalogue = open_data(data, split, tags, (image_column, caption_column, id_column), on_bad_row)
    options = {"device": device, "precision": precision, "batch_size": batch_size, "workers": workers}
    encoders = [load_encoder(name, **options) for name in model]
    compared = evaluate_grounding(encoders, catalogue, truth=truth, products=products, seed=seed, out=out)
    if json:
        print(jsonlib.dumps(asdict(compared), indent=2))
    else:
        for table in grounding_tables(compared):
            Console().print(table)

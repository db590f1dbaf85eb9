"""`e2 evaluate detail`: parses and calls. Heavy packages are imported inside the command."""

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


def detail(
    model: Models,
    data: Data,
    split: Split = "test",
    tags: Tags = None,
    out: Annotated[Path | None, typer.Option(help="folder for metrics.json and detail.png")] = None,
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
    """Recall as the query says more: tag by tag and the description, in the best order, and what each of them is worth.

    Example: `e2 evaluate detail --model runs/clip runs/e2 --data boutique --out runs/detail`
    """
    from rich.console import Console

    from e2.adapters.encoder import load_encoder
    from e2.benchmarks.core.comparison import claim_comparison
    from e2.benchmarks.core.tuning_split import tuning_split
    from e2.benchmarks.detail.evaluate import FIGURES, evaluate_detail, results_table

    claim_comparison(out, *FIGURES)
    other = tuning_split(data, split, "the order of the fields is found")
    columns = (image_column, caption_column, id_column)
    catalogue, tuning = (open_data(data, name, tags, columns, on_bad_row) for name in (split, other))
    options = {"device": device, "precision": precision, "batch_size": batch_size, "workers": workers}
    compared = evaluate_detail([load_encoder(name, **options) for name in model], catalogue, tuning, seed=seed, out=out)
    if json:
        print(jsonlib.dumps(asdict(compared), indent=2, ensure_ascii=False))
    else:
        Console().print(results_table(compared))

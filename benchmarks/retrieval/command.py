"""`e2 evaluate retrieval`."""

import json as jsonlib
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
    Text,
    Workers,
    open_data,
)


def retrieval(
    model: Models,
    data: Data,
    split: Split = "test",
    protocol: Annotated[str, typer.Option(help="full, first-photo or sample-100")] = "full",
    text: Text = "caption",
    tags: Tags = None,
    rule: Annotated[str, typer.Option(help="negatives of sample-100: fame-vil, authors or any")] = "fame-vil",
    candidates: Annotated[Path | None, typer.Option(help="saved sample-100 lists to use again")] = None,
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
    """Recall of photos by texts and of texts by photos, with 95 % intervals; several models side by side.

    Example: `e2 evaluate retrieval --model runs/a --model runs/b --data boutique --split test --out runs/comparison`
    """
    from rich.console import Console

    from e2.adapters.encoder import load_encoder
    from e2.benchmarks.core.comparison import claim_comparison
    from e2.benchmarks.retrieval.evaluate import LISTS, evaluate_retrieval, results_table

    claim_comparison(out, LISTS)
    catalogue = open_data(data, split, tags, (image_column, caption_column, id_column), on_bad_row)
    options = {"device": device, "precision": precision, "batch_size": batch_size, "workers": workers}
    encoders = [load_encoder(name, **options) for name in model]
    compared = evaluate_retrieval(
        encoders, catalogue, protocol=protocol, text=text, seed=seed, out=out, rule=rule, candidates=candidates
    )
    if json:
        print(jsonlib.dumps({"results": compared.results, "differences": compared.differences}, indent=2))
    else:
        Console().print(results_table(compared))

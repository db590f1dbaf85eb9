"""`e2 evaluate gap`: parses and calls. Heavy packages are imported inside the command."""

import json as jsonlib
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

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


def gap(
    model: Models,
    data: Data,
    split: Split = "test",
    text: Text = "caption",
    tags: Tags = None,
    captioner: Annotated[
        list[Path] | None, typer.Option(help="folder of e2 caption fit, of one of the models; repeatable")
    ] = None,
    captioned: Annotated[int, typer.Option(min=1, help="products that captioners describe, the first ones")] = 200,
    out: Annotated[Path | None, typer.Option(help="folder for metrics.json and gap.png")] = None,
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
    """Modality gap, alignment and uniformity, for each tag too, and what narrowing the gap does to retrieval and captions.

    Example: `e2 evaluate gap --model runs/clip runs/e2 --data boutique --captioner runs/decap --out runs/gap`
    """
    from rich.console import Console

    from e2.adapters.captioning.captioner import load_captioner
    from e2.adapters.encoder import load_encoder
    from e2.benchmarks.core.comparison import claim_comparison
    from e2.benchmarks.core.tuning_split import tuning_split
    from e2.benchmarks.gap.evaluate import FIGURES, evaluate_gap, results_table, sweep_table

    claim_comparison(out, *FIGURES)
    other = tuning_split(data, split, "the offset that narrows the gap is found")
    columns = (image_column, caption_column, id_column)
    catalogue, tuning = (open_data(data, name, tags, columns, on_bad_row) for name in (split, other))
    options: dict[str, Any] = {"device": device, "precision": precision, "batch_size": batch_size, "workers": workers}
    encoders = [load_encoder(name, **options) for name in model]
    captioners = [load_captioner(folder, among=encoders, **options) for folder in captioner or []]
    compared = evaluate_gap(
        encoders, catalogue, tuning, text=text, captioners=captioners, captioned=captioned, seed=seed, out=out
    )
    if json:
        print(jsonlib.dumps(asdict(compared), indent=2, ensure_ascii=False))
    else:
        Console().print(results_table(compared))
        Console().print(sweep_table(compared))

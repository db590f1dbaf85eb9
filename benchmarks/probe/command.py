"""`e2 evaluate probe`: parses and calls. Heavy packages are imported inside the command."""

import json as jsonlib
from dataclasses import asdict
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
    Models,
    OnBadRow,
    Precision,
    Seed,
    Split,
    Tags,
    Workers,
    open_data,
)

FIT, VAL = "train", "val"


def probe(
    model: Models,
    data: Data,
    split: Split = "test",
    tags: Tags = None,
    out: Annotated[Path | None, typer.Option(help="folder for metrics.json and probe.png")] = None,
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
    """What a linear probe reads off frozen image embeddings, tag by tag: fitted on train, chosen on val, measured on --split.

    Example: `e2 evaluate probe --model runs/clip runs/e2 --data boutique --out runs/probe`
    """
    from rich.console import Console

    from e2.adapters.encoder import load_encoder
    from e2.benchmarks.core.comparison import claim_comparison
    from e2.benchmarks.probe.evaluate import FIGURES, Splits, evaluate_probe, results_table
    from e2.data import splits_of

    claim_comparison(out, *FIGURES)
    missing = [name for name in (FIT, VAL) if name not in splits_of(data)]
    if missing or split in (FIT, VAL):
        raise InputError(
            f"a probe is fitted on {FIT}, chosen on {VAL} and measured on another split; {data} has "
            f"{', '.join(splits_of(data))}, and --split is {split}"
        )
    columns = (image_column, caption_column, id_column)
    splits = Splits(*(open_data(data, name, tags, columns, on_bad_row) for name in (FIT, VAL, split)))
    options = {"device": device, "precision": precision, "batch_size": batch_size, "workers": workers}
    compared = evaluate_probe([load_encoder(name, **options) for name in model], splits, seed=seed, out=out)
    if json:
        print(jsonlib.dumps(asdict(compared), indent=2, ensure_ascii=False))
    else:
        Console().print(results_table(compared))

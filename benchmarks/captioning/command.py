"""`e2 evaluate captioning`."""

import json as jsonlib
import sys
from pathlib import Path
from typing import Annotated, Any

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
    Precision,
    Seed,
    Split,
    Tags,
    Text,
    Workers,
    open_data,
)


def captioning(
    data: Data,
    captioner: Annotated[list[str] | None, typer.Option(help="folder of e2 caption fit; repeatable")] = None,
    captions: Annotated[
        list[Path] | None, typer.Option(help="file of captions: jsonl, csv, COCO results or JSON {id: caption}; repeatable")
    ] = None,
    missing: Annotated[str, typer.Option(help="products without a caption in a file: error or skip")] = "error",
    split: Split = "test",
    text: Text = "caption",
    tags: Tags = None,
    encoder: Annotated[str | None, typer.Option(help="finds each photo by its caption, for self-retrieval R@1")] = None,
    java: Annotated[str, typer.Option(help="for METEOR and the PTB tokenizer: auto, none or a java executable")] = "auto",
    out: Annotated[Path | None, typer.Option(help="folder for metrics.json and captions.jsonl")] = None,
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
    """BLEU, METEOR, ROUGE-L, CIDEr and tag scores of captions, with 95 % intervals; several captioners side by side.

    Example: `e2 evaluate captioning --captioner runs/decap --captioner runs/capdec --data boutique --out runs/captions`
    """
    from rich.console import Console

    from e2.adapters.captioning.captioner import load_captioner
    from e2.benchmarks.captioning.evaluate import (
        Candidate,
        captioned_by_all,
        claim_scores,
        evaluate_captioning,
        read_truth,
        results_table,
    )
    from e2.benchmarks.captioning.java import JavaFailed
    from e2.data import splits_of

    claim_scores(out, [str(path) for path in (*(captioner or ()), *(captions or ()))])
    columns = (image_column, caption_column, id_column)
    catalogue = open_data(data, split, tags, columns, on_bad_row)
    known = "train" in splits_of(data) and catalogue.split != "train"  # training's tag values can be named wrongly too
    further = [open_data(data, "train", tags, columns, on_bad_row)] if known else []
    truth = read_truth(catalogue, text, further=further, skip_wordless=on_bad_row == "skip")
    if missing not in ("error", "skip"):
        raise InputError(f"--missing {missing}: choose error or skip")
    candidates = [Candidate.from_file(path) for path in captions or []]
    if missing == "skip" and candidates:
        truth = captioned_by_all(candidates, truth)
    options: dict[str, Any] = {"device": device, "precision": precision, "batch_size": batch_size, "workers": workers}
    judge = _encoder(encoder, options)
    try:
        compared = evaluate_captioning(
            [*(load_captioner(name, among=[judge] if judge else (), **options) for name in captioner or []), *candidates],
            truth,
            text=text,
            seed=seed,
            out=out,
            encoder=judge,
            java=java,
        )
    except JavaFailed as failure:
        kept = f"; the captions are kept in {out}" if out else ""
        print(f"e2: {failure}{kept}", file=sys.stderr)
        raise typer.Exit(1) from failure
    if json:
        print(jsonlib.dumps({"results": compared.results, "differences": compared.differences}, indent=2, ensure_ascii=False))
    else:
        Console().print(results_table(compared))


def _encoder(name: str | None, options: dict):
    from e2.adapters.encoder import load_encoder

    return load_encoder(name, **options) if name else None

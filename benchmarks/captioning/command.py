"""`e2 evaluate captioning`."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from e2.errors import InputError
from e2.options import CachedEncoderOptions, Json, Lacking, MeasuredOptions, Seed, Text, show


def captioning(
    catalogue: MeasuredOptions,
    loading: CachedEncoderOptions,
    captioner: Annotated[list[str] | None, typer.Option(help="folder of e2 caption fit; repeatable")] = None,
    captions: Annotated[
        list[Path] | None, typer.Option(help="file of captions: jsonl, csv, COCO results or JSON {id: caption}; repeatable")
    ] = None,
    missing: Annotated[Lacking, typer.Option(help="products without a caption in a file")] = "error",
    text: Text = "caption",
    encoder: Annotated[str | None, typer.Option(help="finds each photo by its caption, for self-retrieval R@1")] = None,
    java: Annotated[str, typer.Option(help="for METEOR and the PTB tokenizer: auto, none or a java executable")] = "auto",
    out: Annotated[Path | None, typer.Option(help="folder for metrics.json and captions.jsonl")] = None,
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """BLEU, METEOR, ROUGE-L, CIDEr and tag scores of captions, with 95 % intervals; several captioners side by side.

    Example: `e2 evaluate captioning --captioner runs/decap --captioner runs/capdec --data boutique --out runs/captions`
    """
    from e2.adapters.captioning.checkpoint import load_captioner
    from e2.adapters.encoder import load_encoder
    from e2.benchmarks.captioning.evaluate import claim_scores, evaluate_captioning, results_table
    from e2.benchmarks.captioning.java import JavaFailed
    from e2.benchmarks.captioning.subjects import Candidate, captioned_by_all, read_truth
    from e2.data import splits_of

    if not captioner and not captions:
        raise InputError("nothing to score: give --captioner, --captions or several of them")
    claim_scores(out, [str(path) for path in (*(captioner or ()), *(captions or ()))])
    products = catalogue.open()
    trained = "train" in splits_of(catalogue.data) and products.split != "train"
    further = [catalogue.open("train")] if trained else []  # its tag values can be named wrongly too
    truth = read_truth(products, text, further=further, skip_wordless=catalogue.table.on_bad_row == "skip")
    candidates = [Candidate.from_file(path) for path in captions or []]
    if missing == "skip" and candidates:
        truth = captioned_by_all(candidates, truth)
    judge = load_encoder(encoder, **vars(loading)) if encoder else None
    near, captioners = [judge] if judge else [], []
    for name in captioner or []:
        captioners.append(load_captioner(name, among=near, **vars(loading)))
        near.append(captioners[-1].encoder)
    try:
        compared = evaluate_captioning(
            [*captioners, *candidates], truth, text=text, seed=seed, out=out, encoder=judge, java=java
        )
    except JavaFailed as failure:
        kept = f"; the captions are kept in {out}" if out else ""
        print(f"e2: {failure}{kept}", file=sys.stderr)
        raise typer.Exit(1) from failure
    show(compared, json, results_table(compared), out=out)

"""`e2 evaluate retrieval`."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from e2.options import EncoderOptions, Json, MeasuredOptions, Models, Seed, Text, show


def retrieval(
    model: Models,
    catalogue: MeasuredOptions,
    loading: EncoderOptions,
    protocol: Annotated[Literal["full", "first-photo", "sample-100"], typer.Option()] = "full",
    text: Text = "caption",
    rule: Annotated[Literal["fame-vil", "authors", "any"], typer.Option(help="negatives of sample-100")] = "fame-vil",
    candidates: Annotated[Path | None, typer.Option(help="saved sample-100 lists to use again")] = None,
    out: Annotated[Path | None, typer.Option(help="folder for metrics.json")] = None,
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Recall of photos by texts and of texts by photos, with 95 % intervals; several models side by side.

    Example: `e2 evaluate retrieval --model runs/a --model runs/b --data boutique --split test --out runs/comparison`
    """
    from e2.adapters.encoder import load_encoder
    from e2.benchmarks.core.comparison import claim_comparison
    from e2.benchmarks.retrieval.evaluate import LISTS, evaluate_retrieval, results_table

    claim_comparison(out, LISTS)
    products = catalogue.open()
    encoders = [load_encoder(name, **vars(loading)) for name in model]
    compared = evaluate_retrieval(
        encoders, products, protocol=protocol, text=text, seed=seed, out=out, rule=rule, candidates=candidates
    )
    show(compared, json, results_table(compared), out=out)

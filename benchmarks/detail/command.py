"""`e2 evaluate detail`: parses and calls. Heavy packages are imported inside the command."""

from pathlib import Path
from typing import Annotated

import typer

from e2.options import CachedEncoderOptions, Json, MeasuredOptions, Models, Seed, show


def detail(
    model: Models,
    catalogue: MeasuredOptions,
    loading: CachedEncoderOptions,
    out: Annotated[Path | None, typer.Option(help="folder for metrics.json and detail.png")] = None,
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Recall as the query says more: tag by tag and the description, in the best order, and what each of them is worth.

    Example: `e2 evaluate detail --model runs/clip runs/e2 --data boutique --out runs/detail`
    """
    from e2.adapters.encoder import load_encoder
    from e2.benchmarks.core.comparison import claim_comparison
    from e2.benchmarks.core.tuning_split import tuning_split
    from e2.benchmarks.detail.evaluate import FIGURES, evaluate_detail, results_table

    claim_comparison(out, *FIGURES)
    other = tuning_split(catalogue.data, catalogue.split, "the order of the fields is found")
    products, tuning = catalogue.open(), catalogue.open(other)
    compared = evaluate_detail([load_encoder(name, **vars(loading)) for name in model], products, tuning, seed=seed, out=out)
    show(compared, json, results_table(compared), out=out)

"""`e2 evaluate gap`: parses and calls. Heavy packages are imported inside the command."""

from pathlib import Path
from typing import Annotated

import typer

from e2.options import CachedEncoderOptions, Json, MeasuredOptions, Models, Seed, Text, show


def gap(
    model: Models,
    catalogue: MeasuredOptions,
    loading: CachedEncoderOptions,
    text: Text = "caption",
    captioner: Annotated[
        list[Path] | None, typer.Option(help="folder of e2 caption fit, of one of the models; repeatable")
    ] = None,
    captioned: Annotated[int, typer.Option(min=1, help="products that captioners describe, the first ones")] = 200,
    out: Annotated[Path | None, typer.Option(help="folder for metrics.json and gap.png")] = None,
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Modality gap, alignment and uniformity, for each tag too, and what narrowing the gap does to retrieval and captions.

    Example: `e2 evaluate gap --model runs/clip runs/e2 --data boutique --captioner runs/decap --out runs/gap`
    """
    from e2.adapters.captioning.checkpoint import load_captioner
    from e2.adapters.encoder import load_encoder
    from e2.benchmarks.core.comparison import claim_comparison
    from e2.benchmarks.core.tuning_split import tuning_split
    from e2.benchmarks.gap.evaluate import FIGURES, evaluate_gap, results_table, sweep_table

    claim_comparison(out, *FIGURES)
    other = tuning_split(catalogue.data, catalogue.split, "the offset that narrows the gap is found")
    products, tuning = catalogue.open(), catalogue.open(other)
    encoders = [load_encoder(name, **vars(loading)) for name in model]
    captioners = [load_captioner(folder, among=encoders, **vars(loading)) for folder in captioner or []]
    compared = evaluate_gap(
        encoders, products, tuning, text=text, captioners=captioners, captioned=captioned, seed=seed, out=out
    )
    show(compared, json, results_table(compared), sweep_table(compared), out=out)

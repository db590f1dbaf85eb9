"""The command `e2 evaluate grounding`."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from e2.options import EncoderOptions, Json, MeasuredOptions, Models, Seed, show


def grounding(
    model: Models,
    catalogue: MeasuredOptions,
    loading: EncoderOptions,
    truth: Annotated[
        Literal["boxes", "windows"] | None,
        typer.Option(
            help="boxes of the catalogue, or windows: the best crop or blur; if not given, boxes where there are any"
        ),
    ] = None,
    products: Annotated[int, typer.Option(min=1, help="how many to look at, at most")] = 1000,
    out: Annotated[Path | None, typer.Option(help="folder for metrics.json")] = None,
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Do selection tokens look where the tag is? The pointing game, against maps of plain CLIP, the centre and chance.

    Example: `e2 evaluate grounding --model runs/clip --model runs/e2 --data boutique --out runs/grounding`
    """
    from e2.adapters.encoder import load_encoder
    from e2.benchmarks.core.comparison import claim_comparison
    from e2.benchmarks.grounding.evaluate import FIGURES, evaluate_grounding, grounding_tables

    claim_comparison(out, *FIGURES)
    photos = catalogue.open()
    encoders = [load_encoder(name, **vars(loading)) for name in model]
    compared = evaluate_grounding(encoders, photos, truth=truth, products=products, seed=seed, out=out)
    show(compared, json, *grounding_tables(compared), out=out)

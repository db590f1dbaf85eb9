"""The command `e2 wise-ft`."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

import typer

from e2.options import CachedEncoderOptions, CatalogueOptions, Json, Out, Seed, Text, parse_numbers, show


def wise_ft(
    model: Annotated[Path, typer.Option(help="a run of e2 train that started from pre-trained weights")],
    catalogue: CatalogueOptions,
    out: Out,
    loading: CachedEncoderOptions,
    alphas: Annotated[str, typer.Option(help="shares of the trained weights, 0 (start model) to 1")] = "0,0.2,0.4,0.6,0.8,1",
    old_data: Annotated[str | None, typer.Option(metavar="SPEC", help="data that the start model is good at")] = None,
    save: Annotated[float | None, typer.Option(help="write the model of this share to --out")] = None,
    protocol: Annotated[Literal["full", "first-photo"], typer.Option()] = "full",
    text: Text = "caption",
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Measure mixtures of a run's first and last weights, on new and on old data (WiSE-FT).

    Example: `e2 wise-ft --model runs/mine --data catalogue.parquet --old-data fashion-products --out runs/wise`
    """
    from e2.benchmarks.wise_ft.evaluate import claim_sweep, sweep, sweep_table

    claim_sweep(out, save)
    shares = parse_numbers("--alphas", alphas)
    catalogues = [catalogue.open()]
    if old_data:
        catalogues.append(replace(catalogue, data=old_data).open())
    options = {"protocol": protocol, "text": text, "seed": seed, "save": save, **vars(loading)}
    entries = sweep(model, shares, catalogues, out, **options)
    show(entries, json, sweep_table(entries), out=out)

"""`e2 evaluate probe`: parses and calls. Heavy packages are imported inside the command."""

from pathlib import Path
from typing import Annotated

import typer

from e2.errors import InputError
from e2.options import CachedEncoderOptions, Json, MeasuredOptions, Models, Seed, show

FIT, VAL = "train", "val"


def probe(
    model: Models,
    catalogue: MeasuredOptions,
    loading: CachedEncoderOptions,
    out: Annotated[Path | None, typer.Option(help="folder for metrics.json and probe.png")] = None,
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Accuracy of linear probes on frozen image embeddings, tag by tag: fitted on train, chosen on val, measured on --split.

    Example: `e2 evaluate probe --model runs/clip runs/e2 --data boutique --out runs/probe`
    """
    from e2.adapters.encoder import load_encoder
    from e2.benchmarks.core.comparison import claim_comparison
    from e2.benchmarks.probe.evaluate import FIGURES, Splits, evaluate_probe, results_table
    from e2.data import splits_of

    claim_comparison(out, *FIGURES)
    present = splits_of(catalogue.data)
    if not {FIT, VAL} <= {*present} or catalogue.split in (FIT, VAL):
        raise InputError(
            f"a probe is fitted on {FIT}, chosen on {VAL} and measured on another split; {catalogue.data} has "
            f"{', '.join(present)}, and --split is {catalogue.split}"
        )
    splits = Splits(*(catalogue.open(name) for name in (FIT, VAL, catalogue.split)))
    compared = evaluate_probe([load_encoder(name, **vars(loading)) for name in model], splits, seed=seed, out=out)
    show(compared, json, results_table(compared), out=out)

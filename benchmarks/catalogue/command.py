"""Command `e2 data check`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from e2.extras import require_extra
from e2.options import ENCODERS, EncoderOptions, Json, Lacking, Out, Seed, Split, TableOptions, Tags, show

PAGE, RECORD = "index.html", "check.json"


@dataclass(frozen=True, kw_only=True)
class CheckedTableOptions(TableOptions):
    """Options for reading tables that are checked: unusable rows are reported, not refused."""

    on_bad_row: Annotated[Lacking, typer.Option(help="leave unusable rows out and count them, or stop and name them")] = "skip"


def require_packages(purpose: str) -> None:
    """Refuses to begin a check, or what a check is a part of, without the packages that it imports on its way."""
    require_extra("check", purpose, "faiss", "imagehash", "scipy", "sklearn")


def check(
    spec: Annotated[str, typer.Argument(metavar="SPEC")],
    out: Out,
    table: CheckedTableOptions,
    loading: EncoderOptions,
    model: Annotated[str | None, typer.Option(help=f"for doubts, outliers and the map: {ENCODERS}")] = None,
    features: Annotated[
        Path | None, typer.Option(help="vectors that e2 embed wrote of --split with --model: no photo is embedded again")
    ] = None,
    split: Split = None,
    tags: Tags = None,
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Find duplicate products, leaks between splits, doubtful tags, cut texts and outliers: one page with a map.

    Example: `e2 data check catalogue --tags brand,season --model runs/mine --out runs/check`
    """
    require_packages("e2 data check")
    import open_clip

    from e2.adapters.encoder import load_encoder
    from e2.benchmarks.catalogue.check import check_catalogue, record_of
    from e2.benchmarks.catalogue.page import summary, write_check_page
    from e2.benchmarks.catalogue.splits import AllSplits
    from e2.data import splits_of
    from e2.errors import InputError
    from e2.files import write_json
    from e2.outputs import claim_results

    if features and not model:
        raise InputError(f"--features {features}: name the encoder that they are of by --model")
    claim_results(out, PAGE, RECORD)
    catalogue = AllSplits([table.open(spec, name, tags) for name in ([split] if split else splits_of(spec))])
    encoder = load_encoder(model, **vars(loading)) if model else None
    tokenizer = encoder.tokenizer if encoder else open_clip.get_tokenizer("ViT-B-32")
    found = check_catalogue(catalogue, tokenizer, encoder=encoder, features=features, seed=seed)
    record = record_of(found, spec, encoder.info if encoder else None)
    write_json(out / RECORD, record)
    write_check_page(out / PAGE, found, model)
    lines = [f"{count:>9}  {name}" for name, count, _ in summary(found)]
    show(record, json, *lines, f"wrote {out / PAGE} and {RECORD} beside it")

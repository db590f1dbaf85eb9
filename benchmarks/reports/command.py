"""The command `e2 report study`."""

import json as jsonlib
from pathlib import Path
from typing import Annotated

import typer

from e2.options import (
    CaptionColumn,
    IdColumn,
    ImageColumn,
    Json,
    OnBadRow,
    Out,
    Seed,
    Split,
    Tags,
    Text,
    open_data,
)


def report_study(
    results: Annotated[list[Path], typer.Option(help="searched for results of e2 study and e2 evaluate; repeatable")],
    out: Out,
    model: Annotated[
        list[str] | None, typer.Option("--model", help="encoders shown at work, the baseline first; repeatable")
    ] = None,
    data: Annotated[str | None, typer.Option("--data", metavar="SPEC", help="the photos that --model is shown on")] = None,
    split: Split = "test",
    text: Text = "caption",
    tags: Tags = None,
    image_column: ImageColumn = "image",
    caption_column: CaptionColumn = "caption",
    id_column: IdColumn = "product_id",
    on_bad_row: OnBadRow = "error",
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """One page, opening offline, with all that was measured, and where E2 loses; figures as PNG, SVG and PDF beside it.

    Example: `e2 report study --results runs/study --model runs/clip --model runs/e2 --data boutique --out runs/report`
    """
    from e2.benchmarks.reports.study import write_report

    catalogue = open_data(data, split, tags, (image_column, caption_column, id_column), on_bad_row) if data else None
    page = write_report(results, out, models=model or (), catalogue=catalogue, text=text, seed=seed)
    print(jsonlib.dumps({"page": str(page)}) if json else f"wrote {page}, with tables and figures beside it")


def report_captions(
    results: Annotated[list[Path], typer.Option(help="folders of e2 evaluate captioning --out; one or several")],
    out: Out,
    data: Annotated[
        str | None, typer.Option(metavar="SPEC", help="where the photos are, if no longer where they were")
    ] = None,
    encoder: Annotated[str | None, typer.Option(help="whose selection tokens are shown; default: the captioners' own")] = None,
    products: Annotated[int, typer.Option(min=1, help="in the gallery; the most telling ones are taken")] = 200,
    image_column: ImageColumn = "image",
    caption_column: CaptionColumn = "caption",
    id_column: IdColumn = "product_id",
    on_bad_row: OnBadRow = "error",
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """One page, opening offline, that shows captioners side by side; the tables as Markdown and LaTeX too.

    Example: `e2 report captions --results runs/captions --out runs/report`
    """
    from e2.benchmarks.reports.captions import write_report

    columns = (image_column, caption_column, id_column)
    page = write_report(
        results, out, data=data, encoder=encoder, products=products, columns=columns, on_bad_row=on_bad_row, seed=seed
    )
    print(jsonlib.dumps({"page": str(page)}) if json else f"wrote {page}, with tables.md and tables.tex beside it")

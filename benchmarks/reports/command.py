"""The commands `e2 report study` and `e2 report captions`."""

from pathlib import Path
from typing import Annotated

import typer

from e2.options import Json, Out, Seed, Split, TableOptions, Tags, Text, show


def report_study(
    results: Annotated[list[Path], typer.Option(help="searched for results of e2 study and e2 evaluate; repeatable")],
    out: Out,
    table: TableOptions,
    model: Annotated[
        list[str] | None, typer.Option("--model", help="encoders shown at work, the baseline first; repeatable")
    ] = None,
    data: Annotated[str | None, typer.Option("--data", metavar="SPEC", help="the photos that --model is shown on")] = None,
    split: Split = "test",
    text: Text = "caption",
    tags: Tags = None,
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Show all that was measured, and where E2 loses, on a page that opens offline; figures as PNG, SVG and PDF beside it.

    Example: `e2 report study --results runs/study --model runs/clip --model runs/e2 --data boutique --out runs/report`
    """
    from e2.benchmarks.reports.study import write_report

    catalogue = table.open(data, split, tags) if data else None
    page = write_report(results, out, models=model or (), catalogue=catalogue, text=text, seed=seed)
    show({"page": str(page)}, json, f"wrote {page}, with tables and figures beside it")


def report_captions(
    results: Annotated[list[Path], typer.Option(help="folders of e2 evaluate captioning --out; one or several")],
    out: Out,
    table: TableOptions,
    data: Annotated[
        str | None, typer.Option(metavar="SPEC", help="where the photos are, if no longer where they were")
    ] = None,
    encoder: Annotated[str | None, typer.Option(help="whose selection tokens are shown; default: the captioners' own")] = None,
    products: Annotated[int, typer.Option(min=1, help="in the gallery, chosen as the most telling")] = 200,
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Show captioners side by side on a page that opens offline; the tables as Markdown and LaTeX too.

    Example: `e2 report captions --results runs/captions --out runs/report`
    """
    from e2.benchmarks.reports.captions import write_report

    page = write_report(results, out, data=data, encoder=encoder, products=products, table=table, seed=seed)
    show({"page": str(page)}, json, f"wrote {page}, with tables.md and tables.tex beside it")

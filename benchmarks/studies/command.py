"""The commands `e2 study` and `e2 data general`."""

import json as jsonlib
from pathlib import Path
from typing import Annotated, Any

import typer

from e2.benchmarks.studies.registry import STUDIES
from e2.errors import InputError
from e2.options import CaptionColumn, IdColumn, ImageColumn, Json, OnBadRow, Out, Tags, open_data, parse_size


def study(
    name: Annotated[str, typer.Argument(metavar="NAME", help=", ".join(STUDIES))],
    data: Annotated[
        list[str], typer.Option(metavar="SPEC", help="the catalogue; for `dataset` also several, each by its own --data")
    ],
    out: Out,
    runs: Annotated[Path | None, typer.Option(help="folder of the trainings, for several studies; else OUT/runs")] = None,
    seeds: Annotated[str, typer.Option(help="of the trainings, e.g. 0,1,2")] = "0,1,2",
    variants: Annotated[str | None, typer.Option(help="only these of the study, e.g. clip,e2")] = None,
    backbone: Annotated[str | None, typer.Option(help="e2-nano, ViT-B-32, ...; for `backbone` several, a,b,c")] = None,
    pretrained: Annotated[str | None, typer.Option(help="open_clip weights tag, a weights file or a folder")] = None,
    old_data: Annotated[str | None, typer.Option(metavar="SPEC", help="`forgetting`: what the start model is good at")] = None,
    tags: Tags = None,
    text: Annotated[
        str | None, typer.Option(help="caption or full: trained on and measured; or mixed: measured by captions")
    ] = None,
    split: Annotated[str, typer.Option(help="that is measured")] = "test",
    epochs: Annotated[float | None, typer.Option(help="length of each training")] = None,
    steps: Annotated[int | None, typer.Option(help="length of each training, instead of --epochs")] = None,
    batch_size: Annotated[int | None, typer.Option(min=2)] = None,
    image_size: Annotated[str | None, typer.Option(help="of the photos, e.g. 96 or 96x64 (height x width)")] = None,
    precision: Annotated[str | None, typer.Option(help="of the trainings: fp32, bf16 or fp16; measured in fp32")] = None,
    device: Annotated[str | None, typer.Option(help="cpu, cuda or auto")] = None,
    workers: Annotated[int | None, typer.Option(help="processes that decode photos")] = None,
    image_column: Annotated[str | None, typer.Option()] = None,
    caption_column: Annotated[str | None, typer.Option()] = None,
    id_column: Annotated[str | None, typer.Option()] = None,
    on_bad_row: Annotated[str | None, typer.Option(help="error or skip")] = None,
    config: Annotated[Path | None, typer.Option(help="YAML file with settings common to all trainings")] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="any setting common to all trainings")
    ] = None,
    json: Json = False,
) -> None:
    """Train variants of one method at equal budget, measure them alike, compare them over products and seeds.

    Interrupted, the same command goes on; trainings in --runs are used again by every study that needs them.

    Example: `e2 study main --data boutique --seeds 0,1,2 --epochs 10 --runs runs/study --out runs/study-main`
    """
    from rich.console import Console
    from rich.markdown import Markdown

    from e2.benchmarks.core.records import NAME
    from e2.benchmarks.studies.base import Context
    from e2.benchmarks.studies.registry import study_named
    from e2.benchmarks.studies.tables import LATEX, MARKDOWN
    from e2.outputs import claim_results
    from e2.training.run import resolve

    claim_results(out, NAME, MARKDOWN, LATEX)
    given: dict[str, Any] = {
        "backbone": backbone,
        "pretrained": pretrained,
        "epochs": epochs,
        "steps": steps,
        "precision": precision,
    }
    given |= {"device": device, "image_size": parse_size(image_size) if image_size else None}
    given |= {"data.text": text, "data.tags": tags, "data.batch_size": batch_size, "data.workers": workers}
    given |= {"data.image_column": image_column, "data.caption_column": caption_column, "data.id_column": id_column}
    given |= {"data.on_bad_row": on_bad_row}
    options = {key: value for key, value in given.items() if value is not None}
    context = Context(
        data=tuple(data),
        out=out,
        runs=runs or out / "runs",
        common=resolve(options, config, set_ or ()),
        seeds=read_seeds(seeds),
        split=split,
        chosen=tuple(variants.split(",")) if variants else None,
        old_data=old_data,
    )
    record = study_named(name).run(context)
    if json:
        print(jsonlib.dumps(record, indent=2))
    else:
        Console().print(Markdown((out / MARKDOWN).read_text(encoding="utf-8")))
        print(f"wrote metrics.json, tables and figures to {out}")


def general(
    spec: Annotated[str, typer.Argument(metavar="SPEC")],
    out: Out,
    tags: Annotated[str, typer.Option(help="the columns of category and colour")] = "sub_category,colour",
    image_column: ImageColumn = "image",
    caption_column: CaptionColumn = "caption",
    id_column: IdColumn = "product_id",
    on_bad_row: OnBadRow = "error",
) -> None:
    """Rewrite a catalogue with general captions, category and colour words only: a stand-in for pre-training on the web.

    Example: `e2 data general boutique:train=6000,val=300,test=1000,seed=100 --out runs/general-data`
    """
    from e2.benchmarks.studies.general import GENERAL, write_general
    from e2.data import splits_of
    from e2.outputs import claim

    claim(out, GENERAL, remove=False)
    names = (image_column, caption_column, id_column)
    sizes = write_general([open_data(spec, split, tags, names, on_bad_row) for split in splits_of(spec)], out)
    print(f"wrote {', '.join(f'{split} ({count:,} products)' for split, count in sizes.items())} to {out}")


def read_seeds(text: str) -> tuple[int, ...]:
    """``"0,1,2"`` -> (0, 1, 2).

    Raises:
        InputError: anything else, or a seed twice.
    """
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() for part in parts) or len(set(map(int, parts))) < len(parts):
        raise InputError(f"--seeds {text}: write different whole numbers, e.g. 0,1,2")
    return tuple(sorted(map(int, parts)))

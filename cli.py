"""The command line: parses and calls, nothing else. Heavy packages are imported inside the commands."""

import errno
import io
import json as jsonlib
import logging
import os
import sys
from pathlib import Path
from typing import Annotated, Any, TextIO

import typer
from safetensors import SafetensorError

from e2.adapters.captioning.command import caption_app
from e2.adapters.composed.command import compose_app
from e2.adapters.embeddings.command import embed
from e2.adapters.export.command import push
from e2.adapters.search.app.command import app as search_app
from e2.adapters.search.command import index_app
from e2.benchmarks.captioning.command import captioning, report_captions
from e2.benchmarks.composed.command import composed
from e2.benchmarks.detail.command import detail
from e2.benchmarks.export.command import export
from e2.benchmarks.gap.command import gap
from e2.benchmarks.grounding.command import grounding
from e2.benchmarks.probe.command import probe
from e2.benchmarks.reports.command import report_study
from e2.benchmarks.speed.command import speed
from e2.benchmarks.studies.command import general, study
from e2.benchmarks.wise_ft.command import wise_ft
from e2.data.amazon.command import amazon_fashion
from e2.errors import InputError, TrainingStopped, first_line
from e2.options import (
    SPECS,
    BatchSize,
    CaptionColumn,
    Data,
    Delimiter,
    Device,
    Encoding,
    IdColumn,
    ImageColumn,
    Json,
    ListOptions,
    MissingValues,
    Models,
    OnBadRow,
    Out,
    Precision,
    Seed,
    Split,
    Tags,
    Text,
    Workers,
    add_table_options,
    columns_of,
    open_data,
    parse_size,
    parse_words,
)

app = typer.Typer(
    name="e2",
    help="E2: train a fashion CLIP that reads details, measure it, plug it into anything built on CLIP.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)
data_app = typer.Typer(help="Look at a catalogue, or write one.", no_args_is_help=True)
evaluate_app = typer.Typer(help="Measure a model.", no_args_is_help=True)
app.add_typer(data_app, name="data")
data_app.command("amazon-fashion")(amazon_fashion)
report_app = typer.Typer(help="Pages to look at.", no_args_is_help=True)
app.add_typer(evaluate_app, name="evaluate")
app.add_typer(caption_app, name="caption")
app.add_typer(compose_app, name="compose")
app.add_typer(index_app, name="index")
app.add_typer(report_app, name="report")
app.command("app")(search_app)
app.command("wise-ft")(wise_ft)
app.command()(embed)
app.command()(speed)
app.command()(export)
app.command()(push)
app.command()(study)
data_app.command()(general)
evaluate_app.command("captioning", cls=ListOptions)(captioning)
evaluate_app.command("composed", cls=ListOptions)(composed)
evaluate_app.command("detail", cls=ListOptions)(detail)
evaluate_app.command("grounding", cls=ListOptions)(grounding)
evaluate_app.command("gap", cls=ListOptions)(gap)
evaluate_app.command("probe", cls=ListOptions)(probe)
report_app.command("captions", cls=ListOptions)(report_captions)
report_app.command("study", cls=ListOptions)(report_study)


@app.command()
def train(
    out: Out,
    data: Annotated[str | None, typer.Option(metavar="SPEC", help=SPECS)] = None,
    method: Annotated[str | None, typer.Option(help="e2 (default), clip, multifield, filip, clip-lite or ei-clip")] = None,
    preset: Annotated[str | None, typer.Option(help="default or paper")] = None,
    backbone: Annotated[
        str | None,
        typer.Option(help="e2-nano (default), ViT-B-32, ...; local-dir:FOLDER, hf-hub:ORG/NAME, transformers:FOLDER"),
    ] = None,
    pretrained: Annotated[str | None, typer.Option(help="open_clip weights tag, a weights file or a folder")] = None,
    tags: Tags = None,
    text: Annotated[str | None, typer.Option(help="caption, full, or mixed: descriptions and short lists of tags")] = None,
    epochs: Annotated[float | None, typer.Option(help="length of the run; 10 unless given")] = None,
    steps: Annotated[int | None, typer.Option(help="length of the run, instead of --epochs")] = None,
    batch_size: Annotated[int | None, typer.Option(help="over all processes; 128 unless given")] = None,
    chunk_size: Annotated[int | None, typer.Option(help="products at a time: any batch in little memory")] = None,
    image_size: Annotated[str | None, typer.Option(help="of the photos, e.g. 96 or 96x64 (height x width)")] = None,
    wise_ft: Annotated[float | None, typer.Option(help="1 = as trained, 0 = the start model, between: weights mixed")] = None,
    seed: Annotated[int | None, typer.Option()] = None,
    device: Annotated[str | None, typer.Option(help="cpu, cuda or auto")] = None,
    precision: Annotated[str | None, typer.Option(help="fp32, bf16 or fp16")] = None,
    workers: Annotated[int | None, typer.Option(help="processes that decode photos")] = None,
    image_column: Annotated[str | None, typer.Option()] = None,
    caption_column: Annotated[str | None, typer.Option()] = None,
    id_column: Annotated[str | None, typer.Option()] = None,
    delimiter: Delimiter = None,
    encoding: Encoding = None,
    missing_values: MissingValues = None,
    on_bad_row: Annotated[str | None, typer.Option(help="error or skip")] = None,
    config: Annotated[Path | None, typer.Option(help="YAML file with any setting; the command line wins")] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="any setting, e.g. optim.lr=1e-4")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="go on where a stopped run was")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="replace an earlier run in --out")] = False,
    json: Json = False,
) -> None:
    """Train an encoder on a catalogue.

    Example: `e2 train --data catalogue.parquet --tags brand,season --backbone ViT-B-32 --pretrained openai --out runs/mine`
    """
    from e2.training.run import start_run

    given: dict[str, Any] = {
        "method": method,
        "preset": preset,
        "backbone": backbone,
        "pretrained": pretrained,
        "epochs": epochs,
    }
    given |= {"steps": steps, "seed": seed, "device": device, "precision": precision}
    given |= {"data.data": data, "data.text": text, "data.batch_size": batch_size, "data.workers": workers}
    given |= {"data.image_column": image_column, "data.caption_column": caption_column, "data.id_column": id_column}
    given |= {"data.on_bad_row": on_bad_row, "data.tags": tags, "data.chunk_size": chunk_size}
    words = None if missing_values is None else list(parse_words(missing_values))
    given |= {"data.delimiter": delimiter, "data.encoding": encoding, "data.missing_values": words}
    given |= {"image_size": parse_size(image_size) if image_size else None, "wise_ft": wise_ft}
    options = {key: value for key, value in given.items() if value is not None}
    summary = start_run(out, options, config_file=config, settings=set_ or [], resume=resume, overwrite=overwrite)
    say(summary, json, f"best val SumR {summary['val_SumR']:.2f} at step {summary['step']}; checkpoint in {out}")


@app.command()
def quickstart(
    out: Out = Path("runs/quickstart"),
    resume: Annotated[bool, typer.Option("--resume", help="keep what an earlier quickstart finished")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="start afresh")] = False,
) -> None:
    """Train `clip` and `e2` on the built-in catalogue, compare them, and draw what the tokens chose (minutes).

    Example: `e2 quickstart`
    """
    from e2.benchmarks.quickstart import quickstart as run

    run(out, resume=resume, overwrite=overwrite)


@evaluate_app.command(cls=ListOptions)
def retrieval(
    model: Models,
    data: Data,
    split: Split = "test",
    protocol: Annotated[str, typer.Option(help="full, first-photo or sample-100")] = "full",
    text: Text = "caption",
    tags: Tags = None,
    rule: Annotated[str, typer.Option(help="negatives of sample-100: fame-vil, authors or any")] = "fame-vil",
    candidates: Annotated[Path | None, typer.Option(help="saved sample-100 lists to use again")] = None,
    out: Annotated[Path | None, typer.Option(help="folder for metrics.json")] = None,
    image_column: ImageColumn = "image",
    caption_column: CaptionColumn = "caption",
    id_column: IdColumn = "product_id",
    on_bad_row: OnBadRow = "error",
    batch_size: BatchSize = 64,
    seed: Seed = 0,
    device: Device = "auto",
    precision: Precision = "fp32",
    workers: Workers = 2,
    json: Json = False,
) -> None:
    """Recall of photos by texts and of texts by photos, with 95 % intervals; several models side by side.

    Example: `e2 evaluate retrieval --model runs/a --model runs/b --data boutique --split test --out runs/comparison`
    """
    from rich.console import Console

    from e2.adapters.encoder import load_encoder
    from e2.benchmarks.core.comparison import claim_comparison
    from e2.benchmarks.retrieval.evaluate import LISTS, evaluate_retrieval, results_table

    claim_comparison(out, LISTS)
    catalogue = open_data(data, split, tags, (image_column, caption_column, id_column), on_bad_row)
    options = {"device": device, "precision": precision, "batch_size": batch_size, "workers": workers}
    encoders = [load_encoder(name, **options) for name in model]
    compared = evaluate_retrieval(
        encoders, catalogue, protocol=protocol, text=text, seed=seed, out=out, rule=rule, candidates=candidates
    )
    if json:
        print(jsonlib.dumps({"results": compared.results, "differences": compared.differences}, indent=2))
    else:
        Console().print(results_table(compared))


@data_app.command()
def info(
    spec: Annotated[str, typer.Argument(metavar="SPEC")],
    out: Annotated[Path | None, typer.Option(help="folder for info.json, tags.png and contact_sheet.png")] = None,
    tags: Tags = None,
    image_column: ImageColumn = "image",
    caption_column: CaptionColumn = "caption",
    id_column: IdColumn = "product_id",
    on_bad_row: OnBadRow = "error",
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Sizes, tags, texts and pictures of a catalogue.

    Example: `e2 data info catalogue.parquet --tags brand,season --out runs/info`
    """
    from rich.console import Console

    from e2.data.info import info_table, write_info

    names, columns = columns_of(tags, (image_column, caption_column, id_column))
    found = write_info(spec, out, tags=names, columns=columns, on_bad_row=on_bad_row, seed=seed)
    if json:
        print(jsonlib.dumps(found, indent=2, ensure_ascii=False))
    else:
        Console().print(info_table(found))
        if out:
            print(f"wrote info.json, tags.png and contact_sheet.png to {out}")


@data_app.command("import")
def import_(
    spec: Annotated[str, typer.Argument(metavar="SPEC")],
    out: Out,
    tags: Annotated[str | None, typer.Option(help="entities to keep; other columns of a table stay behind")] = None,
    image_column: ImageColumn = "image",
    caption_column: CaptionColumn = "caption",
    id_column: IdColumn = "product_id",
    on_bad_row: OnBadRow = "error",
    to: Annotated[str, typer.Option(help="parquet (a table a split) or webdataset (tar shards)")] = "parquet",
    shard_size: Annotated[int, typer.Option(min=1, help="products in a shard")] = 1000,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="replace an earlier import in --out")] = False,
) -> None:
    """Write any catalogue as parquet tables or as tar shards, photos inside. `hf-stream:ORG/NAME` is passed over once.

    Example: `e2 data import products:~/fashion --to webdataset --out runs/products`
    """
    from e2.data.export import import_catalogue

    names, columns = columns_of(tags, (image_column, caption_column, id_column))
    options: dict[str, Any] = {"on_bad_row": on_bad_row, "to": to, "shard_size": shard_size, "overwrite": overwrite}
    sizes = import_catalogue(spec, out, tags=names, columns=columns, **options)
    print(f"wrote {', '.join(f'{split} ({count:,} products)' for split, count in sizes.items())} to {out}")


@data_app.command()
def make(
    out: Out,
    spec: Annotated[str, typer.Argument(metavar="SPEC", help="boutique or boutique:train=...,seed=...")] = "boutique",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="replace an earlier one in --out")] = False,
) -> None:
    """Draw the built-in catalogue into a folder of parquet tables.

    Example: `e2 data make boutique:train=1000,val=100,test=100,seed=1 --out runs/boutique`
    """
    from e2.data.export import import_catalogue

    if spec.partition(":")[0] != "boutique":
        raise InputError(f"e2 data make draws boutique only, not {spec}; use e2 data import for other catalogues")
    sizes = import_catalogue(spec, out, overwrite=overwrite)
    print(f"wrote {', '.join(f'{split} ({count:,} products)' for split, count in sizes.items())} to {out}")


add_table_options(app)


def say(result: dict, as_json: bool, line: str) -> None:
    """Prints a result for programs (stdout, JSON) or for people."""
    print(jsonlib.dumps(result, indent=2) if as_json else line)


def not_written(error: Exception) -> str:
    """What the disk refused, in one line, and what to do when it is full."""
    name = getattr(error, "filename", None)
    place = f": {name}" if name else ""
    said = f"{getattr(error, 'strerror', None) or first_line(error)}{place}"
    return f"{said}; make room, and go on with --resume after training" if os.strerror(errno.ENOSPC) in said else said


def print_any_name(stream: TextIO) -> None:
    """Lets a stream print what its encoding cannot, such as a file name that is not UTF-8, as ``\\udce9``."""
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors="backslashreplace")


def main() -> None:
    """The console script: mistakes that a user can mend get one line on stderr and no traceback."""
    if int(os.environ.get("RANK", "0")) > 0:  # under accelerate launch only the main process talks
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - open as long as the process lives
    for stream in (sys.stdout, sys.stderr):
        print_any_name(stream)
    logging.getLogger().setLevel(logging.CRITICAL)  # open_clip warns of what is meant here, and logs what it raises
    try:
        app()
    except InputError as error:
        print(f"e2: {error}", file=sys.stderr)
        sys.exit(2)
    except TrainingStopped as stop:
        print(f"e2: {stop}", file=sys.stderr)
        sys.exit(1)
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise  # a fault of ours, which a traceback helps to mend
        print("e2: a process that decodes photos died (out of memory?); use fewer --workers (and --resume)", file=sys.stderr)
        sys.exit(1)
    except (OSError, SafetensorError) as error:  # the latter when weights cannot be written
        print(f"e2: {not_written(error)}", file=sys.stderr)
        sys.exit(2 if getattr(error, "errno", None) == errno.ENAMETOOLONG else 1)


if __name__ == "__main__":
    main()

"""The command line: parses and calls, nothing else. Heavy packages are imported inside the commands."""

import json as jsonlib
import logging
import sys
from pathlib import Path
from typing import Annotated

import typer

from e2.errors import InputError

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
app.add_typer(evaluate_app, name="evaluate")

# One spelling of each option for all commands.
Data = Annotated[str, typer.Option("--data", metavar="SPEC", help="boutique, a table or folder of tables, products:DIR")]
Split = Annotated[str | None, typer.Option(help="train, val or test")]
Tags = Annotated[str | None, typer.Option(help="entities, e.g. brand,season or brand=maker_column")]
Out = Annotated[Path, typer.Option(help="folder to write to")]
Text = Annotated[str, typer.Option(help="caption (description) or full (description, then tags)")]
Seed = Annotated[int, typer.Option(min=0)]
Device = Annotated[str, typer.Option(help="cpu, cuda or auto")]
Precision = Annotated[str, typer.Option(help="fp32, bf16 or fp16")]
Workers = Annotated[int, typer.Option(min=0, help="processes that decode photos")]
OnBadRow = Annotated[str, typer.Option(help="error (stop, naming the rows) or skip (leave out and count)")]
ImageColumn = Annotated[str, typer.Option(help="column with the photos")]
CaptionColumn = Annotated[str, typer.Option(help="column with the descriptions")]
IdColumn = Annotated[str, typer.Option(help="column with the product ids")]
Json = Annotated[bool, typer.Option("--json", help="print JSON instead of a table")]
Models = Annotated[list[str], typer.Option("--model", help="checkpoint folder or open_clip:MODEL/PRETRAINED; repeatable")]


@app.command()
def train(
    out: Out,
    data: Annotated[str | None, typer.Option(metavar="SPEC", help="boutique, a table or folder, products:DIR")] = None,
    method: Annotated[str | None, typer.Option(help="clip, multifield or e2")] = None,
    preset: Annotated[str | None, typer.Option(help="default or paper")] = None,
    backbone: Annotated[str | None, typer.Option(help="e2-nano, e2-tiny, e2-small, ViT-B-32, ...")] = None,
    pretrained: Annotated[str | None, typer.Option(help="open_clip weights tag or a local file")] = None,
    tags: Tags = None,
    text: Annotated[str | None, typer.Option(help="caption or full")] = None,
    epochs: Annotated[float | None, typer.Option(help="length of the run")] = None,
    steps: Annotated[int | None, typer.Option(help="length of the run, instead of --epochs")] = None,
    batch_size: Annotated[int | None, typer.Option()] = None,
    seed: Annotated[int | None, typer.Option()] = None,
    device: Annotated[str | None, typer.Option(help="cpu, cuda or auto")] = None,
    precision: Annotated[str | None, typer.Option(help="fp32, bf16 or fp16")] = None,
    workers: Annotated[int | None, typer.Option(help="processes that decode photos")] = None,
    image_column: Annotated[str | None, typer.Option()] = None,
    caption_column: Annotated[str | None, typer.Option()] = None,
    id_column: Annotated[str | None, typer.Option()] = None,
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
    from e2.run import start_run

    given = {"method": method, "preset": preset, "backbone": backbone, "pretrained": pretrained, "epochs": epochs}
    given |= {"steps": steps, "seed": seed, "device": device, "precision": precision}
    given |= {"data.data": data, "data.text": text, "data.batch_size": batch_size, "data.workers": workers}
    given |= {"data.image_column": image_column, "data.caption_column": caption_column, "data.id_column": id_column}
    given |= {"data.on_bad_row": on_bad_row, "data.tags": tags}
    options = {key: value for key, value in given.items() if value is not None}
    summary = start_run(out, options, config_file=config, settings=set_ or [], resume=resume, overwrite=overwrite)
    say(summary, json, f"best val SumR {summary['val_SumR']:.2f} at step {summary['step']}; checkpoint in {out}")


def say(result: dict, as_json: bool, line: str) -> None:
    """Prints a result for programs (stdout, JSON) or for people."""
    print(jsonlib.dumps(result, indent=2) if as_json else line)


def main() -> None:
    """The console script: mistakes that a user can mend get one line on stderr and no traceback."""
    from e2.train import TrainingStopped

    logging.getLogger().setLevel(logging.ERROR)  # open_clip warns of random weights, which are meant here
    try:
        app()
    except InputError as error:
        print(f"e2: {error}", file=sys.stderr)
        sys.exit(2)
    except TrainingStopped as stop:
        print(f"e2: {stop}", file=sys.stderr)
        sys.exit(1)
    except OSError as error:
        print(f"e2: {error.strerror or error}: {error.filename or ''}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()

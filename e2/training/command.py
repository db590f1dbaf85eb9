"""Command `e2 train`."""

from pathlib import Path
from typing import Annotated, Any

import typer

from e2.options import SPECS, Delimiter, Encoding, Json, MissingValues, Out, Tags, parse_size, parse_words, say


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
    resume: Annotated[bool, typer.Option("--resume", help="continue a stopped run")] = False,
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

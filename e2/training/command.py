"""`e2 train`, and the settings of a training as options."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from e2.errors import InputError
from e2.options import (
    SPECS,
    Command,
    Delimiter,
    Encoding,
    Floats,
    ImageSize,
    Json,
    Lacking,
    MissingValues,
    Out,
    Overwrite,
    Resume,
    Tags,
    given,
    parse_size,
    parse_words,
    show,
)

Methods = Literal["e2", "clip", "multifield", "clip-pooled", "multifield-pooled", "filip", "clip-lite", "ei-clip"]
BACKBONES = "e2-nano, ViT-B-32, ...; local-dir:FOLDER, hf-hub:ORG/NAME, transformers:FOLDER, pair:IMAGE+TEXT"
DATA = (  # settings of `DataConfig`
    *("text", "batch_size", "chunk_size", "workers", "image_column", "caption_column", "id_column"),
    *("delimiter", "encoding", "missing_values", "on_bad_row", "tags", "cache"),
)


class TrainCommand(Command):
    """A command whose help shows what holds where a setting of a training is not given."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        from e2.training.unless_given import unless_given

        shown = unless_given()
        for option in self.params:
            told = option.required or "if not given" in (option.help or "")  # type: ignore[attr-defined]
            if option.name in shown and not told:
                option.show_default = shown[option.name]  # type: ignore[attr-defined]
        super().format_help(ctx, formatter)


@dataclass(frozen=True, kw_only=True)
class TrainingOptions:
    """Settings of a training, by the names that its configuration has; none has a value unless it is given."""

    backbone: Annotated[str | None, typer.Option(help=BACKBONES)] = None
    pretrained: Annotated[str | None, typer.Option(help="open_clip weights tag, a weights file or a folder")] = None
    tags: Tags = None
    text: Annotated[
        Literal["caption", "full", "mixed"] | None, typer.Option(help="mixed: descriptions and short lists of tags")
    ] = None
    epochs: Annotated[float | None, typer.Option(help="length of the run")] = None
    steps: Annotated[int | None, typer.Option(help="length of the run, instead of --epochs")] = None
    batch_size: Annotated[int | None, typer.Option(help="over all processes")] = None
    chunk_size: Annotated[int | None, typer.Option(help="products at a time: any batch in little memory")] = None
    image_size: ImageSize = None
    device: Annotated[Literal["cpu", "cuda", "auto"] | None, typer.Option()] = None
    precision: Annotated[Floats | None, typer.Option()] = None
    workers: Annotated[int | None, typer.Option(help="processes that decode photos")] = None
    cache: Annotated[
        str | None, typer.Option(metavar="DIR", help="folder for the outputs of frozen layers, so that they run once")
    ] = None
    image_column: Annotated[str | None, typer.Option(help="column with the photos")] = None
    caption_column: Annotated[str | None, typer.Option(help="column with the descriptions")] = None
    id_column: Annotated[str | None, typer.Option(help="column with the product ids")] = None
    delimiter: Delimiter = None
    encoding: Encoding = None
    missing_values: MissingValues = None
    on_bad_row: Annotated[Lacking | None, typer.Option(help="stop and name the rows, or leave them out and count")] = None

    def settings(self) -> dict[str, Any]:
        """Those that were given, by dotted name."""
        values = given(**vars(self))
        if "image_size" in values:
            values["image_size"] = parse_size(values["image_size"])
        if "missing_values" in values:
            values["missing_values"] = list(parse_words(values["missing_values"]))
        return {f"data.{name}" if name in DATA else name: value for name, value in values.items()}


def train(
    out: Out,
    options: TrainingOptions,
    data: Annotated[list[str] | None, typer.Option(metavar="SPEC", help=f"{SPECS}; repeat to train on several")] = None,
    method: Annotated[Methods | None, typer.Option()] = None,
    preset: Annotated[Literal["default", "paper", "clip-b16-openai", "siglip2-b16"] | None, typer.Option()] = None,
    wise_ft: Annotated[float | None, typer.Option(help="1 = as trained, 0 = the start model, between: weights mixed")] = None,
    seed: Annotated[int | None, typer.Option()] = None,
    config: Annotated[Path | None, typer.Option(help="YAML file with any setting; the command line wins")] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="any setting, e.g. optim.lr=1e-4")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="check data, device, memory and a step; write nothing")] = False,
    resume: Resume = False,
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Train an encoder on a catalogue.

    Example: `e2 train --data catalogue.parquet --tags brand,season --backbone ViT-B-32 --pretrained openai --out runs/mine`
    """
    from e2.training.dry_run import told
    from e2.training.run import start_run, try_run

    chosen = given(method=method, preset=preset, wise_ft=wise_ft, seed=seed) | options.settings()
    if data:
        if len(set(data)) < len(data):
            raise InputError("--data names a catalogue twice; name each once and weight it by --set data.more={SPEC: WEIGHT}")
        chosen |= {"data.data": data[0], "data.more": dict.fromkeys(data[1:], 1.0)}
    if dry_run:
        found = try_run(out, chosen, config_file=config, settings=set_ or [])
        return show(found, json, told(found))
    summary = start_run(out, chosen, config_file=config, settings=set_ or [], resume=resume, overwrite=overwrite)
    show(summary, json, f"best val SumR {summary['val_SumR']:.2f} at step {summary['step']}; checkpoint in {out}")

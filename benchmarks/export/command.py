"""The command `e2 export`: here and not in the adapters, because it can measure what it wrote."""

import json as jsonlib
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

import typer

from e2.options import BatchSize, Device, Json, Out, Overwrite, Split, TableOptions, Tags, Text, Workers


def export(
    model: Annotated[str, typer.Option(help="checkpoint folder, open_clip:NAME/TAG, ...; not an export")],
    format: Annotated[Literal["onnx", "open_clip", "transformers"], typer.Option()],
    out: Out,
    table: TableOptions,
    int8: Annotated[bool, typer.Option("--int8", help="onnx: also graphs in 8 bits")] = False,
    backbone_only: Annotated[
        bool, typer.Option("--backbone-only", help="open_clip: without an E2's tokens: to fine-tune, not to search")
    ] = False,
    data: Annotated[str | None, typer.Option(metavar="SPEC", help="measure the recall of what was written on this")] = None,
    split: Split = "test",
    text: Text = "caption",
    tags: Tags = None,
    batch_size: BatchSize = 64,
    device: Device = "auto",
    workers: Workers = 2,
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Write a model for other programs, checked against PyTorch; with --data, measure what the conversion costs.

    Example: `e2 export --model runs/mine --format onnx --int8 --data catalogue.parquet --out runs/onnx`
    """
    from rich.console import Console

    from e2.adapters.encoder import load_encoder
    from e2.adapters.export.writing import EXPORT, load_exported
    from e2.adapters.export.writing import export as write
    from e2.benchmarks.retrieval.evaluate import evaluate_retrieval, results_table
    from e2.outputs import claim, record

    claim(out, EXPORT, overwrite=overwrite, remove=False)
    catalogue = None if data is None else table.open(data, split, tags)
    options = {"device": device, "batch_size": batch_size, "workers": workers}
    encoder = load_encoder(model, **options)
    written = write(encoder, out, format, overwrite=overwrite, int8=int8, backbone_only=backbone_only)
    console = Console(stderr=json)
    console.print(summary_of(out, written.largest_deviation, written.files, written.further), markup=False, highlight=False)
    if catalogue is not None:
        encoders = [load_encoder(model, **options), *load_exported(out, **options)]
        record(out / "recall", EXPORT.name)
        compared = evaluate_retrieval(encoders, catalogue, text=text, out=out / "recall")
        console.print(results_table(compared))
    if json:
        differences = [] if catalogue is None else compared.differences
        print(jsonlib.dumps({**asdict(written), "differences": differences}, indent=2))


def summary_of(out: Path, deviation: float, files: dict[str, int], further: dict) -> str:
    """Summarises what was written, in lines."""
    sizes = "\n".join(f"  {name}  {size / 1e6:.1f} MB" for name, size in files.items() if size > 1e5)
    told = f", opset {further['opset']}" if "opset" in further else ""
    return f"wrote {out}{told}, at most {deviation:.1e} from PyTorch\n{sizes}"

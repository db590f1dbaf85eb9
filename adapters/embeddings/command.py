"""Command `e2 embed`."""

from pathlib import Path
from typing import Annotated

import typer

from e2.errors import InputError
from e2.options import (
    ENCODERS,
    BatchSize,
    CaptionColumn,
    Data,
    Device,
    IdColumn,
    ImageColumn,
    OnBadRow,
    Precision,
    Split,
    Tags,
    Text,
    Workers,
    columns_of,
    open_data,
)


def embed(
    model: Annotated[str, typer.Option(help=ENCODERS)],
    data: Data,
    out: Annotated[Path, typer.Option(help="folder for parquet shards, or one .parquet file")],
    split: Split = None,
    tags: Tags = None,
    text: Text = "caption",
    what: Annotated[str, typer.Option(help="any of image,text,region")] = "image,text",
    shard_size: Annotated[int, typer.Option(min=1, help="products per shard")] = 10_000,
    resume: Annotated[bool, typer.Option("--resume", help="keep the shards of a run that was stopped")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="replace an earlier run's in --out")] = False,
    image_column: ImageColumn = "image",
    caption_column: CaptionColumn = "caption",
    id_column: IdColumn = "product_id",
    on_bad_row: OnBadRow = "error",
    batch_size: BatchSize = 64,
    device: Device = "auto",
    precision: Precision = "fp32",
    workers: Workers = 2,
) -> None:
    """Write the embeddings of a split's photos and texts, with product ids, as parquet. `--data hf-stream:ORG/NAME` too.

    Example: `e2 embed --model runs/mine --data catalogue --split train --out embeddings`
    """
    from e2.adapters.embeddings.write import claim_embeddings, write_embeddings
    from e2.adapters.encoder import load_encoder
    from e2.data.hub_stream import PREFIX

    if resume and overwrite:
        raise InputError("--resume continues embedding and --overwrite replaces the embeddings; choose one")
    if out.suffix in (".csv", ".json", ".jsonl", ".npy", ".npz", ".tsv"):
        raise InputError(f"--out {out}: embeddings are written as parquet; name a folder, or a file that ends in .parquet")
    claim_embeddings(out, resume=resume, overwrite=overwrite)
    opened = _open_stream if data.startswith(PREFIX) else open_data
    products = opened(data, split, tags, (image_column, caption_column, id_column), on_bad_row)
    encoder = load_encoder(model, device=device, precision=precision, batch_size=batch_size, workers=workers)
    kinds = tuple(what.split(","))
    manifest = write_embeddings(
        encoder, products, out, what=kinds, text=text, shard_size=shard_size, resume=resume, overwrite=overwrite
    )
    if manifest:
        print(f"wrote {sum(manifest['rows'].values()):,} vectors of {manifest['products']:,} products to {out}")


def _open_stream(spec: str, split: str | None, tags: str | None, names: tuple[str, str, str], on_bad_row: str):
    """Opens the requested split of a stream."""
    from e2.data.hub_stream import open_streams

    entities, columns = columns_of(tags, names)
    streams = open_streams(spec, tags=entities, columns=columns, on_bad_row=on_bad_row, progress=True)
    chosen = next(iter(streams)) if split is None and len(streams) == 1 else split
    if chosen not in streams:
        raise InputError(f"--data {spec}: choose --split from {', '.join(streams)}")
    return streams[chosen]

"""Command `e2 embed`."""

from pathlib import Path
from typing import Annotated, Any

import typer

from e2.counting import counted
from e2.errors import InputError
from e2.options import (
    ENCODERS,
    CatalogueOptions,
    EncoderOptions,
    Overwrite,
    ProductVectorRule,
    Resume,
    Text,
)


def embed(
    model: Annotated[str, typer.Option(help=ENCODERS)],
    catalogue: CatalogueOptions,
    out: Annotated[Path, typer.Option(help="folder for parquet shards, or one .parquet file")],
    loading: EncoderOptions,
    text: Text = "caption",
    what: Annotated[str, typer.Option(help="any of image,text,region,product")] = "image,text",
    product_vector: ProductVectorRule = "photos",
    shard_size: Annotated[int, typer.Option(min=1, help="products per shard")] = 10_000,
    resume: Resume = False,
    overwrite: Overwrite = False,
) -> None:
    """Write the embeddings of a split's photos and texts, with product ids, as parquet. `--data hf-stream:ORG/NAME` too.

    Example: `e2 embed --model runs/mine --data catalogue --split train --out embeddings`
    """
    from e2.adapters.embeddings.write import claim_embeddings, write_embeddings
    from e2.adapters.encoder import load_encoder
    from e2.adapters.product_vector import ProductVector
    from e2.data.hub_stream import PREFIX

    if resume and overwrite:
        raise InputError("--resume continues embedding and --overwrite replaces the embeddings; choose one")
    if out.suffix in (".csv", ".json", ".jsonl", ".npy", ".npz", ".tsv"):
        raise InputError(f"--out {out}: embeddings are written as parquet; name a folder, or a file that ends in .parquet")
    rule = ProductVector.parse(product_vector)
    claim_embeddings(out, resume=resume, overwrite=overwrite)
    products = _open_stream(catalogue) if catalogue.data.startswith(PREFIX) else catalogue.open()
    encoder = load_encoder(model, **vars(loading))
    options: dict[str, Any] = {"what": tuple(what.split(",")), "text": text, "product_vector": rule, "shard_size": shard_size}
    manifest = write_embeddings(encoder, products, out, resume=resume, overwrite=overwrite, **options)
    if manifest:
        print(f"wrote {sum(manifest['rows'].values()):,} vectors of {counted(manifest['products'], 'product')} to {out}")


def _open_stream(asked: CatalogueOptions):
    """Opens the requested split of a stream."""
    from e2.data.hub_stream import open_streams

    streams = open_streams(asked.data, **asked.table.read(asked.tags), progress=True)
    chosen = next(iter(streams)) if asked.split is None and len(streams) == 1 else asked.split
    if chosen not in streams:
        raise InputError(f"--data {asked.data}: choose --split from {', '.join(streams)}")
    return streams[chosen]

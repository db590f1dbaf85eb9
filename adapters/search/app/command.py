"""Command `e2 app`."""

from pathlib import Path
from typing import Annotated

import typer

from e2.adapters.search.command import Rerank, RerankSettings
from e2.errors import InputError
from e2.extras import extra
from e2.options import BatchSize, Device, Precision

Index = Annotated[
    str | None, typer.Option("--index", metavar="PATH|URI", help="folder, or the address of a Milvus collection")
]


def app(
    index: Index = None,
    encoder: Annotated[str | None, typer.Option(help="the index's; needed only if it was moved")] = None,
    captioner: Annotated[Path | None, typer.Option(help="folder of e2 caption fit, to describe photos")] = None,
    composer: Annotated[
        list[Path] | None,
        typer.Option(help="folder of e2 compose fit: a further way to search with photo and words; repeatable"),
    ] = None,
    rerank: Rerank = None,
    rerank_set: RerankSettings = None,
    demo: Annotated[bool, typer.Option("--demo", help="on the built-in catalogue; trains what is missing, once")] = False,
    out: Annotated[Path, typer.Option(help="folder of the demo")] = Path("runs/demo"),
    host: Annotated[str, typer.Option(help="address to listen on; any but this one lets other machines in")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any free port")] = 7860,
    batch_size: BatchSize = 64,
    device: Device = "auto",
    precision: Precision = "fp32",
) -> None:
    """Search in the browser: by words, by photo, by photo and wish; with a JSON API beside it.

    Example: `e2 app --demo`, or `e2 app --index runs/index --captioner runs/decap`
    """
    with extra("app", "e2 app"):
        from e2.adapters.search.app.server import serve
        from e2.adapters.search.app.start import start_service
        from e2.adapters.search.reranking.choose import reranker_of

    if demo == (index is not None):
        raise InputError("choose what to search in: --index PATH|URI, or --demo for the built-in catalogue")
    options = {"device": device, "precision": precision, "batch_size": batch_size, "workers": 0}
    reranker = reranker_of(rerank, rerank_set or [])
    service = start_service(index, encoder, captioner, composer or [], demo_folder=out, reranker=reranker, **options)
    serve(service, host, port)

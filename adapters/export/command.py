"""Command `e2 push`."""

import tempfile
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from e2.errors import InputError
from e2.options import Json, show


def push(
    model: Annotated[Path, typer.Option(help="checkpoint folder")],
    repo: Annotated[str, typer.Option(metavar="ORG/NAME", help="repository on the Hugging Face hub")],
    format: Annotated[
        Literal["e2", "onnx", "open_clip", "transformers"], typer.Option(help="e2 is the checkpoint as it is")
    ] = "e2",
    metrics: Annotated[
        list[Path] | None, typer.Option(help="metrics.json of e2 evaluate for this model, for the card; repeatable")
    ] = None,
    licence: Annotated[str | None, typer.Option("--license", help="of the weights, e.g. cc-by-4.0")] = None,
    private: Annotated[bool, typer.Option("--private", help="a new repository is visible only to its owners")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="write to --out what would be pushed, without pushing")] = False,
    out: Annotated[Path | None, typer.Option(help="with --dry-run: folder to write to")] = None,
    json: Json = False,
) -> None:
    """Put a model on the Hugging Face hub, with a card written from its run.

    Example: `e2 push --model runs/mine --repo my-shop/fashion-clip --metrics runs/test --license cc-by-4.0`
    """
    if dry_run != (out is not None):
        raise InputError("--dry-run and --out DIR belong together")
    from e2.adapters.export.push import repository_folder, upload

    options: dict[str, Any] = {"format": format, "metrics": metrics or [], "licence": licence}
    with tempfile.TemporaryDirectory() as temporary:
        folder = out or Path(temporary) / "repository"
        repository_folder(model, repo, folder, **options)
        address = None if dry_run else upload(folder, repo, private=private)
    answer = {"repo": repo, "folder": None if out is None else str(out), "address": address}
    done = f"wrote what would be pushed to {out}" if dry_run else f"pushed to {address}"
    show(answer, json, done)

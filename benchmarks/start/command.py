"""`e2 start`."""

from pathlib import Path
from typing import Annotated

import typer

from e2.benchmarks.catalogue.command import require_packages
from e2.data.command import ImportTableOptions
from e2.extras import extra
from e2.options import Device, Floats, Tags


def start(
    ctx: typer.Context,
    spec: Annotated[str, typer.Argument(metavar="TABLE", help="a table, shopify:FILE, merchant:FILE, or any --data")],
    table: ImportTableOptions,
    out: Annotated[Path, typer.Option(help="folder to write to")] = Path("runs/start"),
    tags: Tags = None,
    caption: Annotated[str | None, typer.Option(help="captions from several columns, e.g. '{title}. {description}'")] = None,
    group_by: Annotated[str | None, typer.Option(help="column that the rows of one product share")] = None,
    backbone: Annotated[
        str | None, typer.Option(help="to start from, as in e2 train; its image tower stays frozen and runs once per photo")
    ] = None,
    pretrained: Annotated[str | None, typer.Option(help="open_clip weights tag, a weights file or a folder")] = None,
    epochs: Annotated[float | None, typer.Option(help="of the training; by the size of the catalogue if not given")] = None,
    device: Device = "auto",
    precision: Annotated[Floats | None, typer.Option(help="if not given, bf16 where the processor computes in it")] = None,
    serve: Annotated[bool, typer.Option("--serve", help="open the search page at the end")] = False,
) -> None:
    """Go from a shop's table to a search page: import, entities, check, train, evaluate, index, each by its own command.

    Prints each command line that it runs. Called again, it goes on where it was, and repeats what depends on a file that
    changed, such as the entities that you edited.

    Example: `e2 start shopify:products_export.csv --backbone ViT-B-32 --pretrained openai --serve`
    """
    require_packages("e2 start")
    from e2.benchmarks.start.run import FirstDay, first_day
    from e2.devices import fastest_precision, open_device

    if serve:
        with extra("app", "--serve"):
            import e2.adapters.search.app.server  # noqa: F401 - before an hour of work

    root = ctx.find_root().command
    floats = precision or fastest_precision(open_device(device))
    day = FirstDay(spec, out, table, tags, caption, group_by, backbone, pretrained, epochs, device, floats)
    first_day(day, lambda words: root.main(words, prog_name="e2", standalone_mode=False), serve=serve)

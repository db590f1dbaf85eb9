"""The command `e2 speed`."""

from pathlib import Path
from typing import Annotated

import typer

from e2.benchmarks.speed.registry import MEASUREMENTS
from e2.errors import InputError
from e2.options import Json, show


def speed(
    name: Annotated[str, typer.Argument(metavar="NAME", help=", ".join(MEASUREMENTS), autocompletion=lambda: [*MEASUREMENTS])],
    out: Annotated[Path | None, typer.Option(help="folder for metrics.json, and the picture of growth")] = None,
    repeats: Annotated[int | None, typer.Option(min=1, help="rounds, ours and the reference in turn")] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="for both; PyTorch's own choice if not given")] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="size of the measurement, e.g. batch_size=32")
    ] = None,
    json: Json = False,
) -> None:
    """Time our code against a plain reference on this machine, in turns: a ratio below 1 means that ours is faster.

    Example: `e2 speed train-step --set backbone=ViT-B-32 --set batch_size=32 --out runs/speed`
    """
    from e2.benchmarks.core.records import NAME
    from e2.benchmarks.speed.registry import defaults, measurement, read_options
    from e2.outputs import claim_results

    run = measurement(name)
    options = read_options(run, set_ or ())
    if repeats is not None:
        if "repeats" not in defaults(run):
            raise InputError(f"--repeats means nothing to {name}; it has {', '.join(defaults(run))}")
        options["repeats"] = repeats
    if out:
        claim_results(out, NAME)

    import torch  # not before the options are known to be right: it takes seconds

    from e2.benchmarks.speed import growth
    from e2.benchmarks.speed.record import measure
    from e2.benchmarks.speed.table import speed_table
    from e2.files import write_json

    if threads:
        torch.set_num_threads(threads)
    record = measure(name, run, options)
    if out:
        write_json(out / NAME, record)
        if name == "growth":
            growth.draw(record["details"], out / growth.PICTURE)
    show(record, json, speed_table(record), out=out)

"""`e2 quickstart`."""

from pathlib import Path
from typing import Annotated

import typer

from e2.options import Out


def quickstart(
    out: Out = Path("runs/quickstart"),
    resume: Annotated[bool, typer.Option("--resume", help="keep what an earlier quickstart finished")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="start afresh")] = False,
) -> None:
    """Train `clip` and `e2` on the built-in catalogue, compare them, and draw what the tokens chose (minutes).

    Example: `e2 quickstart`
    """
    from e2.benchmarks.quickstart.run import quickstart as run

    run(out, resume=resume, overwrite=overwrite)

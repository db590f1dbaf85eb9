"""`e2 quickstart`."""

from pathlib import Path

from e2.options import Out, Overwrite, Resume


def quickstart(out: Out = Path("runs/quickstart"), resume: Resume = False, overwrite: Overwrite = False) -> None:
    """Train `clip` and `e2` on the built-in catalogue, compare them, and draw what the tokens chose (minutes).

    Example: `e2 quickstart`
    """
    from e2.benchmarks.quickstart.run import quickstart as run

    run(out, resume=resume, overwrite=overwrite)

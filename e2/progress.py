"""A progress bar where somebody is looking."""

from collections.abc import Iterable
from typing import TypeVar

from rich.console import Console
from rich.progress import track

Step = TypeVar("Step")


def with_progress(steps: Iterable[Step], what: str, total: int | None, progress: bool = True) -> Iterable[Step]:
    """The steps with a progress bar on stderr; none where stderr is a file, which it would fill with control codes.

    Args:
        steps: of the work, done as they are taken.
        what: stands before the bar.
        total: how many there are; None = nobody knows.
        progress: False = no bar at all.
    """
    console = Console(stderr=True)
    return track(steps, what, total, console=console, transient=True, disable=not (progress and console.is_terminal))

"""How far long work is: a bar where somebody is looking, a line now and then in a log."""

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from rich.console import Console
from rich.progress import track

EVERY = 30.0  # seconds between two lines of a log

Step = TypeVar("Step")


class LogLines:
    """At most one line in half a minute on stderr, e.g. ``Captions: 1,280 of 30,000``; short work writes none.

    Args:
        what: is being done.
        total: how many steps there are; None = nobody knows.
    """

    def __init__(self, what: str, total: int | None):
        self.what, self.of = what, "" if total is None else f" of {total:,}"
        self.due = time.monotonic() + EVERY

    def tell(self, done: int, note: str = "") -> None:
        """Writes the line if it is due."""
        if time.monotonic() >= self.due:
            print(f"{self.what}: {done:,}{self.of}{note and f'  {note}'}", file=sys.stderr, flush=True)
            self.due = time.monotonic() + EVERY


def with_progress(steps: Iterable[Step], what: str, total: int | None, progress: bool = True) -> Iterable[Step]:
    """The steps with a progress bar on stderr; where stderr is a file, which a bar would fill with control codes, with lines.

    Args:
        steps: of the work, done as they are taken.
        what: stands before the bar.
        total: how many there are; None = nobody knows.
        progress: False = nothing at all.
    """
    if not progress:
        return steps
    console = Console(stderr=True)
    if console.is_terminal:
        return track(steps, what, total, console=console, transient=True)
    return _logged(steps, LogLines(what, total))


def _logged(steps: Iterable[Step], lines: LogLines) -> Iterator[Step]:
    for done, step in enumerate(steps):
        lines.tell(done)
        yield step

"""Progress of long work: a bar on a terminal, a line now and then in a log."""

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from rich.console import Console
from rich.progress import track

EVERY = 30.0  # seconds between two lines of a log

Step = TypeVar("Step")


class LogLines:
    """Writes at most one line per half minute to stderr, e.g. ``Captions: 1,280 of 30,000``; short work writes none."""

    def __init__(self, what: str, total: int | None):
        self.what, self.of = what, "" if total is None else f" of {total:,}"
        self.due = time.monotonic() + EVERY

    def tell(self, done: int, note: str = "") -> None:
        """Writes the line if it is due."""
        if time.monotonic() >= self.due:
            print(f"{self.what}: {done:,}{self.of}{note and f'  {note}'}", file=sys.stderr, flush=True)
            self.due = time.monotonic() + EVERY


def with_progress(steps: Iterable[Step], what: str, total: int | None, progress: bool = True) -> Iterable[Step]:
    """Yields the steps of work, done as they are taken, with a progress bar on stderr, or log lines if stderr is a file."""
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

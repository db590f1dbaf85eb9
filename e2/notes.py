"""Messages to the user on stderr that are no errors."""

import functools
import os

from rich.console import Console
from rich.text import Text


def say(line: str, console: Console | None = None) -> None:
    """Prints a line on stderr, or a console of its own: a terminal breaks it between words, a file keeps it whole."""
    console = console or Console(stderr=True)
    console.print(Text(line), soft_wrap=not console.is_terminal)


@functools.cache
def note(message: str) -> None:
    """Prints a message once per program; of several processes only the first prints."""
    if os.environ.get("RANK", "0") == "0":
        say(f"note: {message}")

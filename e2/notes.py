"""Messages to the user on stderr that are no errors."""

import functools
import os

from rich.console import Console
from rich.text import Text


def say(line: str) -> None:
    """Prints a line on stderr as it is."""
    Console(stderr=True).print(Text(line), soft_wrap=True)


@functools.cache
def note(message: str) -> None:
    """Prints a message once per program; of several processes only the first prints."""
    if os.environ.get("RANK", "0") == "0":
        say(f"note: {message}")

"""What a user should know though nothing has failed: a line on stderr, each said once."""

import functools
import os

from rich.console import Console
from rich.text import Text


@functools.cache
def note(message: str) -> None:
    """Prints a message once per program; of several processes only the first prints."""
    if os.environ.get("RANK", "0") == "0":
        Console(stderr=True).print(Text(f"note: {message}"), soft_wrap=True)

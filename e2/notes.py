"""Notes to the user without a failure: a line on stderr, each printed once."""

import functools
import os

from rich.console import Console
from rich.text import Text


@functools.cache
def note(message: str) -> None:
    """Prints a message once per program; of several processes only the first prints."""
    if os.environ.get("RANK", "0") == "0":
        Console(stderr=True).print(Text(f"note: {message}"), soft_wrap=True)

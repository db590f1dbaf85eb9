"""Handles photos that broke after they were checked: a disk fails, a file is replaced during a run.

With ``--on-bad-row skip`` another photo, always the same one, replaces it, and it is counted; with ``error`` the run stops
between two steps and names it.
"""

from collections.abc import Sequence

from e2.data.images import BadImage
from e2.errors import InputError
from e2.notes import say

NAMED = 10  # lost photos that are named; the rest are only counted


class LostPhoto(InputError):
    """A photo could not be read during a run and may not or cannot be replaced."""


def lost_photo(product_id: str, error: BadImage) -> str:
    """Message on a product's photo that cannot be read."""
    return f"product {product_id!r}: {error.where}: {error.cause}"


class LostPhotos:
    """Names lost photos on stderr, each message once, and counts them."""

    def __init__(self, what: str):
        self.what = what
        self.count = 0  # losses so far; a photo counts each time it was needed
        self._named: set[str] = set()

    def note(self, messages: Sequence[str]) -> None:
        """Records the messages of the photos lost in one batch, usually none."""
        self.count += len(messages)
        for message in dict.fromkeys(messages):
            if message not in self._named and len(self._named) < NAMED:
                self._named.add(message)
                last = "; further ones are only counted" if len(self._named) == NAMED else ""
                say(f"{self.what}: {message}{last}")

    def close(self) -> None:
        """Prints the total, if any."""
        if self.count:
            say(f"{self.what}: {self.count:,} times in all")

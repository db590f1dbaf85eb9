"""Photos that broke after they were checked: a disk that fails, a file that is replaced while a run reads it.

One of them shall not end a run of days. With ``--on-bad-row skip`` another stands in for it, always the same one, and it is
counted; with ``error`` the run stops between two steps, saying which it was.
"""

from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from e2.errors import InputError

NAMED = 10  # lost photos that are named; the rest are only counted


class LostPhoto(InputError):
    """A photo could not be read in the middle of a run, and nothing may or can stand in for it."""


class LostPhotos:
    """Says on stderr which photos were lost, each message once, and counts them.

    Attributes:
        count: photos lost so far, each time that one was to be seen.
    """

    def __init__(self, what: str):
        self.what, self.count = what, 0
        self._named: set[str] = set()

    def note(self, messages: Sequence[str]) -> None:
        """Takes the messages of the photos lost in one batch, none as a rule."""
        self.count += len(messages)
        for message in dict.fromkeys(messages):
            if message not in self._named and len(self._named) < NAMED:
                self._named.add(message)
                last = "; further ones are only counted" if len(self._named) == NAMED else ""
                say(f"{self.what}: {message}{last}")

    def close(self) -> None:
        """The total, where there is one."""
        if self.count:
            say(f"{self.what}: {self.count:,} times in all")


def say(line: str) -> None:
    """Prints a line on stderr as it is."""
    Console(stderr=True).print(Text(line), soft_wrap=True)

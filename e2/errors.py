"""The exceptions that the command line tells in one line."""

import contextlib
from collections.abc import Iterator


class InputError(ValueError):
    """Wrong use or bad input: the message says in one line what is wrong, where, and how to mend it.

    The command line prints it on stderr and exits with status 2, without a traceback.
    """


class TrainingStopped(RuntimeError):
    """The run had to stop; the message says why and how to go on. What was reached is on disk. Exit status 1.

    Args:
        reason: the message, or its beginning.
        command: goes on as things are; None where something must be mended first, which ``reason`` says.
    """

    def __init__(self, reason: str, command: str | None = None):
        super().__init__(f"{reason}; go on with {command}" if command else reason)
        self.reason, self.command = reason, command


@contextlib.contextmanager
def going_on_with(command: str, part: str = "") -> Iterator[None]:
    """Around a training that is a part of ``command``: interrupted, it names that command and not its own."""
    try:
        yield
    except TrainingStopped as stop:
        raise TrainingStopped(f"{part}{stop.reason}", command if stop.command else None) from stop


def printable(text: str) -> str:
    """The text with line breaks and terminal codes, which a stranger's file may hold, made harmless for printing."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def escaped(text: str) -> str:
    """The text with what UTF-8 cannot hold written out: a byte of a file name as ``\\xe9``, half a letter as ``\\ud83d``."""
    try:
        return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:
        return text.encode("utf-8", "backslashreplace").decode("utf-8")


def first_line(error: BaseException) -> str:
    """The message of someone else's error in one line, for a message of ours."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]

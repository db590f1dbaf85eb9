"""Exceptions that the command line reports in one line."""

import contextlib
from collections.abc import Collection, Iterator


class InputError(ValueError):
    """Wrong use or bad input: the message says in one line what is wrong, where, and how to fix it.

    The command line prints it on stderr and exits with status 2, without a traceback.
    """


class MissingColumn(InputError):
    """A table lacks a column that was asked for."""


class TrainingStopped(RuntimeError):
    """The run had to stop; the message says why and how to continue. Progress so far is on disk. Exit status 1.

    Args:
        reason: the message, or its beginning.
        command: continues the run; None if ``reason`` names something to fix first.
    """

    def __init__(self, reason: str, command: str | None = None):
        super().__init__(f"{reason}; continue with {command}" if command else reason)
        self.reason, self.command = reason, command


@contextlib.contextmanager
def going_on_with(command: str, part: str = "") -> Iterator[None]:
    """Wraps a training that is part of ``command``, so that an interruption names that command."""
    try:
        yield
    except TrainingStopped as stop:
        raise TrainingStopped(f"{part}{stop.reason}", command if stop.command else None) from stop


def printable(text: str) -> str:
    """Escapes line breaks and terminal codes, which untrusted text may hold, for printing."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def require_choice(name: str, value: str, choices: Collection[str]) -> None:
    """Refuses a value that is not among the choices, naming them."""
    if value not in tuple(choices):  # a file may hold a list, which no mapping would look up
        raise InputError(f"unknown {name} {printable(repr(value))}; choose one of {', '.join(choices)}")


def in_brief(text: str, most: int) -> str:
    """One printable line of at most ``most`` letters, ``…`` in place of its middle: paths and long names differ at the end."""
    line = printable(" ".join(text.split()))
    start = most // 3
    return line if len(line) <= most else f"{line[:start].rstrip()}…{line[start - most + 1 :].lstrip()}"


def escaped(text: str) -> str:
    """Escapes what UTF-8 cannot hold: a byte of a file name as ``\\xe9``, half a surrogate pair as ``\\ud83d``."""
    try:
        return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:
        return text.encode("utf-8", "backslashreplace").decode("utf-8")


def first_line(error: BaseException) -> str:
    """First line of a foreign error's message, for use in ours."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def in_short(error: BaseException) -> str:
    """A foreign error's message in one line of at most 200 printable characters."""
    return printable(" ".join(str(error).split()))[:200] or type(error).__name__

"""Command lines run inside the test's own process, as a user would see them."""

import contextlib
import io
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import typer

from e2 import cli, commands
from e2.outputs import LEDGER


class Answer(NamedTuple):
    """What a command line came to."""

    status: int
    out: str
    err: str

    @property
    def line(self) -> str:
        """The line on stderr that says what was wrong; what belongs to it (bad rows, one a line) is indented.

        Raises:
            AssertionError: there is not exactly one, or a traceback.
        """
        lines = self.err.splitlines()
        said = [line for line in lines if line.startswith("e2: ")]
        assert len(said) == 1 and "Traceback" not in self.err, self.err
        assert all(line.startswith("  ") for line in lines[lines.index(said[0]) + 1 :]), self.err
        return said[0]


def run_command(*arguments: object) -> Answer:
    """Runs ``e2 ARGUMENTS``. An exception that the command line would show as a traceback comes through as it is."""
    out, err = io.StringIO(), io.StringIO()
    with (
        mock.patch.object(sys, "argv", ["e2", *map(str, arguments)]),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            cli.main()
            status = 0
        except SystemExit as leave:
            status = leave.code or 0
    return Answer(status, out.getvalue(), err.getvalue())


def every_command(command: Any = None, name: str = "e2") -> Iterator[tuple[str, Any]]:
    """Each command of the command line with its full name."""
    command = command or typer.main.get_command(commands.app)
    if not hasattr(command, "commands"):
        yield name, command
        return
    for word, below in command.commands.items():
        yield from every_command(below, f"{name} {word}")


def names_in(folder: Path) -> list[str]:
    """What lies in a folder, less the ledger."""
    return sorted(path.name for path in folder.iterdir() if path.name != LEDGER)


def contents(folder: Path) -> dict[str, bytes | None]:
    """Every file below a folder with its bytes (None: a folder), less ledgers, which no reader looks at."""
    files = (path for path in sorted(folder.rglob("*")) if path.name != LEDGER)
    return {str(path.relative_to(folder)): None if path.is_dir() else path.read_bytes() for path in files}

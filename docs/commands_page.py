"""Writes the page of all commands from the commands themselves, while the site is built."""

from collections.abc import Iterator
from typing import Any

import typer
from mkdocs.structure.files import File, Files

from e2 import cli

PAGE = "commands.md"
INTRO = """# Commands

Made from the commands themselves; `e2 COMMAND --help` says the same. The same option has the same name everywhere.

Exit status: 0 done, 1 failed while running, 2 wrong use or bad input. A mistake that you can mend is one line on stderr:
what, where, how.

`e2 --install-completion` teaches your shell (bash, zsh, fish, PowerShell) to complete commands and options;
`e2 --show-completion` prints the script instead.
"""


def on_files(files: Files, config: Any) -> Files:
    """MkDocs' hook: adds the page to the site's files."""
    files.append(File.generated(config, PAGE, content=commands_page()))
    return files


def commands_page() -> str:
    """The page in Markdown."""
    sections = (section(name, command) for name, command in commands(typer.main.get_command(cli.app), "e2"))
    return "\n".join([INTRO, *sections])


def commands(command: Any, name: str) -> Iterator[tuple[str, Any]]:
    """Every command below a group with its full name, in the order of their names."""
    below = getattr(command, "commands", None)
    if below is None:
        yield name, command
        return
    for word in sorted(below):
        yield from commands(below[word], f"{name} {word}")


def section(name: str, command: Any) -> str:
    """Help and options of one command."""
    rows = [row(parameter) for parameter in command.params]
    table = ["| option | default | what |", "|---|---|---|", *rows] if rows else []
    return "\n".join([f"## {name}", "", command.help or "", "", *table, ""])


def row(parameter: Any) -> str:
    """One option (or argument) as a line of the table."""
    spelled = " ".join(parameter.opts) if parameter.opts[0].startswith("-") else (parameter.metavar or parameter.name).upper()
    default = "required" if parameter.required else shown(parameter.default)
    return f"| `{spelled}` | {default} | {cell(getattr(parameter, 'help', None) or '')} |"


def shown(default: Any) -> str:
    """A default for people; nothing where a command decides for itself, or for a switch that is off."""
    return "" if default is None or default is False else f"`{default}`"


def cell(text: str) -> str:
    """A text that stands in one cell of a table as it is."""
    return text.replace("|", "\\|").replace("<", "&lt;").replace("*", "\\*").replace("\n", " ")

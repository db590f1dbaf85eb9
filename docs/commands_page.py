"""Writes the pages of all commands from the commands themselves, while the site is built."""

from collections.abc import Iterator
from typing import Any

import typer
from mkdocs.structure.files import File, Files

from e2.commands import app

OVERVIEW = "commands.md"
INTRO = """# Commands

`e2 COMMAND --help` says the same as these pages. The same option has the same name everywhere.

Exit status: 0 done, 1 failed while running, 2 wrong use or bad input. A mistake that you can fix is one line on stderr:
what, where, how.

`e2 --install-completion` teaches your shell (bash, zsh, fish, PowerShell) to complete commands and options;
`e2 --show-completion` prints the script instead.

| command | what it does |
|---|---|
"""


def on_config(config: Any) -> Any:
    """MkDocs' hook: lists the pages in the navigation, below the overview."""
    for entries in _lists(config["nav"]):
        if OVERVIEW in entries:
            entries += [{name.removeprefix("e2 "): page(name)} for name, _ in all_commands()]
    return config


def on_files(files: Files, config: Any) -> Files:
    """MkDocs' hook: adds the overview and a page for each command to the site's files."""
    files.append(File.generated(config, OVERVIEW, content=overview()))
    for name, command in all_commands():
        files.append(File.generated(config, page(name), content=section(name, command)))
    return files


def page(name: str) -> str:
    """The page of a command: ``e2 data info`` -> ``commands/data-info.md``."""
    return f"commands/{name.removeprefix('e2 ').replace(' ', '-')}.md"


def overview() -> str:
    """The list of all commands in Markdown."""
    firsts = {name: (command.help or "").partition("\n\n")[0] for name, command in all_commands()}
    return INTRO + "".join(f"| [{name}]({page(name)}) | {cell(first)} |\n" for name, first in firsts.items())


def _lists(entries: Any) -> Iterator[list]:
    """Every list of the navigation, nested ones too."""
    if isinstance(entries, list):
        yield entries
        for entry in entries:
            yield from _lists(entry)
    elif isinstance(entries, dict):
        for below in entries.values():
            yield from _lists(below)


def all_commands() -> list[tuple[str, Any]]:
    """Every command with its full name."""
    return list(commands(typer.main.get_command(app), "e2"))


def commands(command: Any, name: str) -> Iterator[tuple[str, Any]]:
    """Every command below a group with its full name, in the order of the help."""
    below = getattr(command, "commands", None)
    if below is None:
        yield name, command
        return
    for word in command.list_commands(None):
        yield from commands(below[word], f"{name} {word}")


def section(name: str, command: Any) -> str:
    """Help and options of one command."""
    rows = [row(parameter) for parameter in command.params]
    table = ["| option | default | what |", "|---|---|---|", *rows] if rows else []
    return "\n".join([f"# {name}", "", command.help or "", "", *table, ""])


def row(parameter: Any) -> str:
    """One option (or argument) as a line of the table."""
    spelled = " ".join(parameter.opts) if parameter.opts[0].startswith("-") else (parameter.metavar or parameter.name).upper()
    default = "required" if parameter.required else shown(parameter.default)
    choices = ", ".join(f"`{choice}`" for choice in parameter.type_descriptor.choices or ())
    told = "; ".join(filter(None, (choices, cell(getattr(parameter, "help", None) or ""))))
    return f"| `{spelled}` | {default} | {told} |"


def shown(default: Any) -> str:
    """A default for people; nothing where a command decides for itself, or for a switch that is off."""
    return "" if default is None or default is False else f"`{default}`"


def cell(text: str) -> str:
    """A text that stands in one cell of a table as it is."""
    return text.replace("|", "\\|").replace("<", "&lt;").replace("*", "\\*").replace("\n", " ")

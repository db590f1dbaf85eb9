"""Every command line that the documentation shows is one that `e2` takes: command, options and settings exist."""

import re
import shlex

import pytest
import typer
import yaml

from e2 import commands
from e2.config import TrainConfig
from e2.settings import merged
from e2.training.run import resolve
from tests.docs.blocks import DOCS, PAGES, ROOT, blocks

SHOWN = [*PAGES, ROOT / "README.md", ROOT / "CONTRIBUTING.md"]
LAUNCHED = re.compile(r"^accelerate launch .*?\$\(which e2\)")
TRAIN_OPTIONS = ("method", "preset", "backbone", "pretrained", "epochs", "steps", "seed", "device", "precision")


def command_lines(page) -> list[str]:
    """The lines of the page's shell blocks that run e2, continued lines joined; launchers and pipes are left out."""
    text = "\n".join(block.text for block in blocks(page, "bash")).replace("\\\n", " ")
    lines = (LAUNCHED.sub("e2", line.strip()) for line in text.splitlines())
    return [line.partition(" | ")[0] for line in lines if line.startswith("e2 ")]


def help_lines(command, name: str = "e2") -> list[tuple[str, str]]:
    """The example lines in the help of every command below a group."""
    if hasattr(command, "commands"):
        return [pair for word, below in command.commands.items() for pair in help_lines(below, f"{name} {word}")]
    return [(name, line) for line in re.findall(r"`(e2 [^`]+)`", command.help or "")]


LINES = [(page.relative_to(ROOT), line) for page in SHOWN for line in command_lines(page)]
LINES += help_lines(typer.main.get_command(commands.app))


def parsed(line: str):
    """The command of a line and its options, read as the command line reads them; nothing runs.

    Raises:
        LookupError: no such command.
        typer's usage errors: no such option, a value of the wrong kind, or something that is required is missing.
    """
    command, words = typer.main.get_command(commands.app), shlex.split(line, comments=True)[1:]
    name = "e2"
    while hasattr(command, "commands"):
        if words[0] not in command.commands:
            raise LookupError(f"{name} has no command {words[0]}")
        name, command = words[0], command.commands[words[0]]
        words = words[1:]
    return name, command.make_context(name, words).params


def test_pages_show_commands():
    assert len(LINES) > 40


@pytest.mark.parametrize(("page", "line"), LINES, ids=lambda value: str(value)[:60])
def test_command_is_one_that_e2_takes(page, line):
    if "--install-completion" in line or "--show-completion" in line or line.endswith("--help"):
        return
    name, options = parsed(line)
    if name == "train":  # its settings have names of their own
        given = {key: options[key] for key in TRAIN_OPTIONS if options.get(key) is not None}
        resolve(given, None, options["set_"] or [])


@pytest.mark.parametrize("line", ["e2 tarin --out x", "e2 train --out x --ephocs 3", "e2 embed --model x", "e2 data fetch x"])
def test_a_wrong_command_is_noticed(line):
    with pytest.raises(Exception, match="(?i)no command|no such option|missing"):
        parsed(line)


def test_yaml_examples_are_settings():
    examples = [block.text for page in PAGES for block in blocks(page, "yaml") if "train" in block.heading]
    assert examples
    for text in examples:
        merged(TrainConfig(), yaml.safe_load(text), "example")


def test_make_targets_exist():
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {name for page in SHOWN for name in re.findall(r"`make ([\w-]+)`", page.read_text(encoding="utf-8"))}
    assert named <= targets


def test_files_named_in_pages_exist():
    """Paths into the repository, written as code: a page must not outlive what it speaks of."""
    places = re.compile(r"`((?:e2|adapters|benchmarks|tests)/[\w/.-]+)`")
    named = {path for page in PAGES for path in places.findall(page.read_text(encoding="utf-8"))}
    missing = [path for path in named if not (ROOT / path).exists()]
    assert not missing


def test_links_between_files_lead_somewhere():
    """Outside the site, where MkDocs does not look."""
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "benchmarks" / "results").glob("*/README.md")]
    links = [
        (page, link) for page in pages for link in re.findall(r"\]\((?![a-z]+:|#)([^)#\s]+)", page.read_text(encoding="utf-8"))
    ]
    assert not [f"{page}: {link}" for page, link in links if not (page.parent / link).exists()]


def test_every_page_is_in_the_navigation():
    listed = set(re.findall(r"[\w/-]+\.md", (ROOT / "mkdocs.yml").read_text()))
    assert {str(page.relative_to(DOCS)) for page in PAGES} <= listed

"""Command-line options shared by all commands, and functions that parse them."""

import functools
import inspect
import json
from collections.abc import Callable
from contextvars import ContextVar
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from e2.errors import InputError

SPECS = "boutique, a table or folder, fashiongen:, amazon-fashion:, products:, webdataset: or hf:"
Data = Annotated[str, typer.Option("--data", metavar="SPEC", help=SPECS)]
Split = Annotated[str | None, typer.Option(help="train, val or test")]
Tags = Annotated[str | None, typer.Option(help="entities, e.g. brand,season or brand=maker_column")]
Out = Annotated[Path, typer.Option(help="folder to write to")]
Text = Annotated[str, typer.Option(help="caption (description) or full (description, then tags)")]
Seed = Annotated[int, typer.Option(min=0)]
Device = Annotated[str, typer.Option(help="cpu, cuda or auto")]
Precision = Annotated[str, typer.Option(help="fp32, bf16 or fp16")]
BatchSize = Annotated[int, typer.Option(min=1)]
Workers = Annotated[int, typer.Option(min=0, help="processes that decode photos")]
OnBadRow = Annotated[str, typer.Option(help="error (stop, naming the rows) or skip (leave out and count)")]
ImageColumn = Annotated[str, typer.Option(help="column with the photos")]
CaptionColumn = Annotated[str, typer.Option(help="column with the descriptions")]
IdColumn = Annotated[str, typer.Option(help="column with the product ids")]
Delimiter = Annotated[str | None, typer.Option(help="between cells of csv and tsv, e.g. ';' or tab; detected if not given")]
Encoding = Annotated[str | None, typer.Option(help="of csv, tsv and jsonl, e.g. cp1252; detected if not given")]
MISSING = "words for a missing value, e.g. 'n/a,unknown', or '' for none; NA, None, nan, ... in csv if not given"
MissingValues = Annotated[str | None, typer.Option(help=MISSING)]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="replace what an earlier call wrote to --out")]
Json = Annotated[bool, typer.Option("--json", help="print JSON instead of a table")]
ENCODERS = "checkpoint folder, open_clip:MODEL/PRETRAINED, onnx:FOLDER, ..."
Models = Annotated[list[str], typer.Option("--model", help=f"{ENCODERS}; repeatable")]


TABLE_OPTIONS = {"delimiter": Delimiter, "encoding": Encoding, "missing_values": MissingValues}
_given: ContextVar[dict[str, str | None] | None] = ContextVar("given", default=None)


def add_table_options(app: typer.Typer) -> None:
    """Adds `TABLE_OPTIONS`, which say how a table's text is read, to every command that names columns of a table.

    Their values reach `columns_of` directly: no command has to pass them on.
    """
    for group in app.registered_groups:
        if group.typer_instance:
            add_table_options(group.typer_instance)
    for command in app.registered_commands:
        options = inspect.signature(command.callback).parameters if command.callback else {}
        if command.callback and "id_column" in options and not TABLE_OPTIONS.keys() & options.keys():
            command.callback = _with_table_options(command.callback)


def _with_table_options(command: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(command)
    def wrapped(**options: Any) -> Any:
        token = _given.set({name: options.pop(name) for name in TABLE_OPTIONS})
        try:
            return command(**options)
        finally:
            _given.reset(token)

    signature = inspect.signature(command, eval_str=True)
    keyword = inspect.Parameter.KEYWORD_ONLY
    extra = [inspect.Parameter(name, keyword, default=None, annotation=kind) for name, kind in TABLE_OPTIONS.items()]
    places = [*signature.parameters]
    known = [parameter.replace(kind=keyword) for parameter in signature.parameters.values()]
    known[places.index("id_column") + 1 : places.index("id_column") + 1] = extra
    wrapped.__signature__ = signature.replace(parameters=known)  # type: ignore[attr-defined]  # what Typer reads
    return wrapped


def parse_words(text: str) -> tuple[str, ...]:
    """Reads ``--missing-values``: ``"n/a, unknown"`` -> ``("n/a", "unknown")``."""
    return tuple(word.strip() for word in text.split(",") if word.strip())


def columns_of(tags: str | None, names: tuple[str, str, str]):
    """Turns the options on how a table is read into (entities or None, Columns)."""
    from e2.data import Columns, parse_tags

    entities, mapping = parse_tags(tags) if tags else (None, {})
    image, caption, product_id = names
    given = dict(_given.get() or {})
    words = given.pop("missing_values", None)
    missing = None if words is None else parse_words(words)
    return entities, Columns(image=image, caption=caption, id=product_id, tags=mapping, missing_values=missing, **given)


def open_data(spec: str, split: str | None, tags: str | None, names: tuple[str, str, str], on_bad_row: str):
    """Opens the split that a command asks for."""
    from e2.data import open_catalogue

    entities, columns = columns_of(tags, names)
    return open_catalogue(spec, split, tags=entities, columns=columns, on_bad_row=on_bad_row)


def parse_size(text: str) -> int | list[int]:
    """``"96"`` -> 96, ``"96x64"`` -> [96, 64] (height, width).

    Raises:
        InputError: it is neither.
    """
    sides = text.lower().split("x")
    if not 1 <= len(sides) <= 2 or not all(side.strip().isdigit() for side in sides):
        raise InputError(f"--image-size {text}: give pixels, as 96 or, height first, 96x64")
    return int(sides[0]) if len(sides) == 1 else [int(side) for side in sides]


class ListOptions(TyperCommand):
    """A command whose repeatable options also take several values at once: ``--method a b`` is ``--method a --method b``.

    For commands without positional arguments only, or the list would swallow them.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        repeatable = {name for option in self.params if getattr(option, "multiple", False) for name in option.opts}
        spread: list[str] = []
        current = None
        for word in args:
            if word.startswith("-"):
                current = word if word in repeatable else None
            elif current and spread[-1] != current:
                spread.append(current)
            spread.append(word)
        return super().parse_args(ctx, spread)


def say(result: dict, as_json: bool, line: str) -> None:
    """Prints a result as JSON for programs, or as a line for people."""
    print(json.dumps(result, indent=2) if as_json else line)

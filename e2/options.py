"""One spelling of each command-line option for all commands, and what several commands do with them."""

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
Json = Annotated[bool, typer.Option("--json", help="print JSON instead of a table")]
ENCODERS = "checkpoint folder, open_clip:MODEL/PRETRAINED, onnx:FOLDER, ..."
Models = Annotated[list[str], typer.Option("--model", help=f"{ENCODERS}; repeatable")]


def columns_of(tags: str | None, names: tuple[str, str, str]):
    """The options that name columns, as (entities or None, Columns)."""
    from e2.data import Columns, parse_tags

    entities, mapping = parse_tags(tags) if tags else (None, {})
    image, caption, product_id = names
    return entities, Columns(image=image, caption=caption, id=product_id, tags=mapping)


def open_data(spec: str, split: str | None, tags: str | None, names: tuple[str, str, str], on_bad_row: str):
    """The split that a command asks for."""
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

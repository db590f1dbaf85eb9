"""Options of the command line, spelled once: single ones, and groups that a command takes as one parameter."""

import functools
import inspect
import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from copy import copy
from dataclasses import MISSING, Field, asdict, dataclass, fields, is_dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, get_args

import typer
from typer.core import TyperCommand, TyperGroup

from e2.counting import counted
from e2.errors import InputError, printable

SPECS = "boutique, a table or folder, fashiongen:, amazon-fashion:, products:, shopify:, merchant:, webdataset: or hf:"
ENCODERS = "checkpoint folder, open_clip:NAME/TAG, onnx:FOLDER, ..."
Data = Annotated[str, typer.Option("--data", metavar="SPEC", help=SPECS)]
Split = Annotated[str | None, typer.Option(help="train, val or test")]
Tags = Annotated[
    str | None, typer.Option(help="entities, e.g. brand,season or brand=maker_column; or FILE.yaml of `e2 data entities`")
]
TextKind = Literal["caption", "full"]
Text = Annotated[TextKind, typer.Option(help="the description, or the description and then the tags")]
ProductVectorRule = Annotated[
    str,
    typer.Option(
        metavar="RULE",
        help="one vector of a product's photos: photos (their mean), first, photos+views, photos+text=0.1, ...",
    ),
]
Models = Annotated[list[str], typer.Option("--model", help=f"{ENCODERS}; repeatable")]
EncoderName = Annotated[str, typer.Option("--encoder", help=ENCODERS)]
Out = Annotated[Path, typer.Option(help="folder to write to")]
Resume = Annotated[bool, typer.Option("--resume", help="continue a stopped run")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="replace what an earlier call wrote to --out")]
Json = Annotated[bool, typer.Option("--json", help="print JSON instead of a table")]
Seed = Annotated[int, typer.Option(min=0)]
BatchSize = Annotated[int, typer.Option(min=1)]
Device = Annotated[str, typer.Option(help="cpu, cuda or auto", autocompletion=lambda: ["cpu", "cuda", "auto"])]
Floats = Literal["fp32", "bf16", "fp16"]
Precision = Annotated[Floats, typer.Option()]
Workers = Annotated[int, typer.Option(min=0, help="processes that decode photos")]
ImageSize = Annotated[str | None, typer.Option(help="of the photos, e.g. 96 or 96x64 (height x width)")]
Delimiter = Annotated[str | None, typer.Option(help="between cells of csv and tsv, e.g. ';' or tab; detected if not given")]
Encoding = Annotated[str | None, typer.Option(help="of csv, tsv and jsonl, e.g. cp1252; detected if not given")]
Lacking = Literal["error", "skip"]
OnBadRow = Annotated[Lacking, typer.Option(help="stop and name the rows, or leave them out and count")]
ShardCache = Annotated[
    float | None, typer.Option(metavar="GB", min=0, help="room for copies of remote tar shards; all are kept if not given")
]
MISSING_VALUES = "words for a missing value, e.g. 'n/a,unknown', or '' for none; NA, None, nan, ... in csv if not given"
MissingValues = Annotated[str | None, typer.Option(help=MISSING_VALUES)]


@dataclass(frozen=True, kw_only=True)
class TableOptions:
    """Options for reading tables: names of columns, encoding of the text, treatment of bad rows."""

    panel: ClassVar[str] = "Tables"

    image_column: Annotated[str, typer.Option(help="column with the photos")] = "image"
    caption_column: Annotated[str, typer.Option(help="column with the descriptions")] = "caption"
    id_column: Annotated[str, typer.Option(help="column with the product ids")] = "product_id"
    delimiter: Delimiter = None
    encoding: Encoding = None
    missing_values: MissingValues = None
    on_bad_row: OnBadRow = "error"

    def read(self, tags: str | None) -> dict[str, Any]:
        """Keyword arguments of `open_catalogue`: entities, columns and what becomes of bad rows."""
        from e2.data import Columns, parse_tags

        entities, mapping = parse_tags(tags) if tags else (None, {})
        names = (self.image_column, self.caption_column, self.id_column)
        missing = None if self.missing_values is None else parse_words(self.missing_values)
        columns = Columns(*names, mapping, self.delimiter, self.encoding, missing)
        return {"tags": entities, "columns": columns, "on_bad_row": self.on_bad_row}

    def open(self, spec: str, split: str | None, tags: str | None = None, **options: Any):
        """The split of a catalogue that a command asks for; further ``options`` of `open_catalogue`."""
        from e2.data import open_catalogue

        return open_catalogue(spec, split, **self.read(tags), **options)


@dataclass(frozen=True, kw_only=True)
class CatalogueOptions:
    """A catalogue's split with its tags."""

    data: Data
    split: Split = None
    tags: Tags = None
    table: TableOptions = TableOptions()
    shard_cache: ShardCache = None

    def open(self, split: str | None = None, **options: Any):
        """The split that is asked for, or another one; ``options`` of `open_catalogue`."""
        shards = {"shard_cache": self.shard_cache}
        return self.table.open(self.data, split or self.split, self.tags, **shards, **options)


@dataclass(frozen=True, kw_only=True)
class MeasuredOptions(CatalogueOptions):
    """A catalogue's split that models are measured on."""

    split: Annotated[str, typer.Option(help="train, val or test")] = "test"


@dataclass(frozen=True, kw_only=True)
class EncoderOptions:
    """Options for running an encoder; ``vars(...)`` are keyword arguments of `load_encoder`."""

    panel: ClassVar[str] = "Encoder"

    batch_size: BatchSize = 64
    device: Device = "auto"
    precision: Precision = "fp32"
    workers: Workers = 2


@dataclass(frozen=True, kw_only=True)
class CachedEncoderOptions(EncoderOptions):
    """The same, for commands that read a catalogue's photos, which a frozen tower may have seen before."""

    cache: Annotated[
        Path | None, typer.Option(metavar="DIR", help="folder for the outputs of frozen layers, as in `e2 train`")
    ] = None


@dataclass(frozen=True, kw_only=True)
class FetchOptions:
    """Limits on requests for photos on the web; ``vars(...)`` are those of `e2.data.fetch.photos.Manners`."""

    panel: ClassVar[str] = "Photos on the web"

    rate: Annotated[float, typer.Option(min=0.01, help="requests per second to one host, at most")] = 20.0
    connections: Annotated[int, typer.Option(min=1, help="concurrent requests")] = 16
    timeout: Annotated[float, typer.Option(min=0.1, help="seconds for one attempt at a photo")] = 30.0
    retries: Annotated[int, typer.Option(min=0, help="further attempts after a temporary failure other than a timeout")] = 3


class Commands(typer.Typer):
    """A Typer whose commands may take groups of options: parameters annotated with a dataclass of options."""

    def __init__(self, *, cls: type[TyperGroup] | None = None, **settings: Any) -> None:
        super().__init__(cls=cls or CommandGroup, no_args_is_help=True, **settings)

    def command(self, name: str | None = None, **settings: Any) -> Any:
        """Registers a function as a command; see `flat` and `Command`."""
        register = super().command(name, **{"cls": Command, **settings})

        def registered(function: Callable[..., Any]) -> Callable[..., Any]:
            register(flat(function))
            return function

        return registered


def flat(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function with the options of its groups as parameters of its own, as Typer reads them."""
    signature = inspect.signature(function, eval_str=True)
    groups = {name: p.annotation for name, p in signature.parameters.items() if is_dataclass(p.annotation)}

    @functools.wraps(function)
    def command(**options: Any) -> Any:
        return function(**{name: _gathered(group, options) for name, group in groups.items()}, **options)

    singles = sorted(_singles(signature.parameters.values()), key=lambda one: one[1])  # those of no panel come first
    parameters = [_in_panel(parameter, panel) if panel else parameter for parameter, panel in singles]
    command.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]  # what Typer reads
    return command


def _singles(parameters: Iterable[inspect.Parameter], panel: str = "") -> Iterator[tuple[inspect.Parameter, str]]:
    """Parameters, those of groups in their place, each with the panel of the help that it belongs to."""
    for parameter in parameters:
        group = parameter.annotation
        if is_dataclass(group):
            yield from _singles(map(_option, fields(group)), getattr(group, "panel", panel))
        else:
            yield parameter.replace(kind=parameter.KEYWORD_ONLY), panel


def _option(option: Field) -> inspect.Parameter:
    default = inspect.Parameter.empty if option.default is MISSING else option.default
    return inspect.Parameter(option.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=option.type)


def _in_panel(parameter: inspect.Parameter, panel: str) -> inspect.Parameter:
    kind, option = get_args(parameter.annotation)
    option = copy(option)
    option.rich_help_panel = panel
    return parameter.replace(annotation=Annotated[kind, option])


def _gathered(group: Any, options: dict[str, Any]) -> Any:
    """A group, its options taken out of those of the command."""
    kinds = {option.name: option.type for option in fields(group)}
    return group(**{name: _gathered(of, options) if is_dataclass(of) else options.pop(name) for name, of in kinds.items()})


class Command(TyperCommand):
    """A command whose repeatable options also take several values at once: ``--method a b`` is ``--method a --method b``.

    Not where there are positional arguments, which the list would swallow. Wrong use is reported in one line. A program's
    `obj`, if it has one, is called with the options before the command runs.
    """

    def invoke(self, ctx: Any) -> Any:
        if ctx.obj is not None:
            ctx.obj(ctx.params)
        try:
            return super().invoke(ctx)
        except EOFError as error:  # whatever it was that ended, Typer would say "Aborted." alone
            if error.args:
                raise RuntimeError(str(error)) from error
            raise ConnectionResetError("a process ended while it handed something over") from error

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        with one_line(ctx):
            return super().parse_args(ctx, self._spread(args))

    def _spread(self, args: list[str]) -> list[str]:
        if any(option.param_type_name == "argument" for option in self.params):
            return args
        repeatable = {name for option in self.params if getattr(option, "multiple", False) for name in option.opts}
        spread: list[str] = []
        current = None
        for word in args:
            if word.startswith("-"):
                current = word if word in repeatable else None
            elif current and spread[-1] != current:
                spread.append(current)
            spread.append(word)
        return spread


class CommandGroup(TyperGroup):
    """A group that tells wrong use in one line."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        with one_line(ctx) if args else nullcontext():  # without any the help is printed, by way of an exception
            return super().parse_args(ctx, args)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        with one_line(ctx):
            return super().resolve_command(ctx, args)


@contextmanager
def one_line(ctx: Any) -> Iterator[None]:
    """Tells wrong use of a command line as what it is, bad input."""
    try:
        yield
    except typer.TyperException as error:
        raise InputError(_wrong_use(error, ctx)) from error


def _wrong_use(error: typer.TyperException, ctx: Any) -> str:
    option = getattr(error, "param", None)
    choices = getattr(getattr(option, "type_descriptor", None), "choices", None)
    if choices and isinstance(error.__cause__, ValueError):  # pydantic's, which knows the value
        value = error.__cause__.errors()[0]["input"]  # type: ignore[attr-defined]
        name = option.opts[0] if option.opts[0].startswith("-") else option.metavar  # type: ignore[union-attr]
        *others, last = map(str, choices)
        return f"{name} {printable(repr(value))}: choose {', '.join(others)} or {last}"
    said = " ".join(error.format_message().split()).rstrip(".?")
    return f"{said}; see {ctx.command_path} --help"


def given(**options: Any) -> dict[str, Any]:
    """The options that were given: not None, and no switch that is off."""
    return {name: value for name, value in options.items() if value is not None and value is not False}


def parse_words(text: str) -> tuple[str, ...]:
    """Reads a list of words: ``"n/a, unknown"`` -> ``("n/a", "unknown")``."""
    return tuple(word.strip() for word in text.split(",") if word.strip())


def parse_numbers(option: str, text: str) -> list[float]:
    """Reads a list of numbers: ``"0, 0.5"`` -> ``[0.0, 0.5]``."""
    try:
        return [float(part) for part in text.split(",")]
    except ValueError as error:
        raise InputError(f"{option} {text}: write numbers with commas between them, e.g. 0,0.5,1") from error


def parse_size(text: str) -> int | list[int]:
    """``"96"`` -> 96, ``"96x64"`` -> [96, 64] (height, width)."""
    sides = text.lower().split("x")
    if not 1 <= len(sides) <= 2 or not all(side.strip().isdigit() for side in sides):
        raise InputError(f"--image-size {text}: give pixels, as 96 or, height first, 96x64")
    return int(sides[0]) if len(sides) == 1 else [int(side) for side in sides]


def show(record: Any, as_json: bool, *shown: Any, out: Path | None = None) -> None:
    """Prints a result: as JSON (in ASCII, for a stranger's text may hold terminal codes), or lines and tables for people.

    ``out`` is the folder that the result was also written to.
    """
    if as_json:
        print(json.dumps(asdict(record) if is_dataclass(record) else record, indent=2))  # type: ignore[arg-type]
        return
    from rich.console import Console

    for one in shown:
        print(one) if isinstance(one, str) else Console().print(one)
    if out:
        print(f"wrote the results to {out}")


def wrote(sizes: dict[str, int], out: Path) -> str:
    """The line that says which splits were written."""
    splits = ", ".join(f"{split} ({counted(count, 'product')})" for split, count in sizes.items())
    return f"wrote {splits} to {out}"

"""The commands of the command line, wired. Heavy packages are imported inside them."""

from typing import Annotated, Any

import typer

from e2.adapters.captioning.command import caption_app
from e2.adapters.composed.command import compose_app
from e2.adapters.embeddings.command import embed
from e2.adapters.export.command import push
from e2.adapters.search.app.command import app as search_app
from e2.adapters.search.command import index_app
from e2.benchmarks.captioning.command import captioning
from e2.benchmarks.catalogue.command import check
from e2.benchmarks.compare.command import compare
from e2.benchmarks.composed.command import composed
from e2.benchmarks.detail.command import detail
from e2.benchmarks.export.command import export
from e2.benchmarks.gap.command import gap
from e2.benchmarks.grounding.command import grounding
from e2.benchmarks.probe.command import probe
from e2.benchmarks.quickstart.command import quickstart
from e2.benchmarks.reports.command import report_captions, report_study
from e2.benchmarks.retrieval.command import retrieval
from e2.benchmarks.speed.command import speed
from e2.benchmarks.start.command import start
from e2.benchmarks.studies.command import general, study
from e2.benchmarks.wise_ft.command import wise_ft
from e2.data.amazon.command import amazon_fashion
from e2.data.command import import_, info, make
from e2.data.entities.command import entities
from e2.named import require_named
from e2.options import CommandGroup, Commands
from e2.training.command import TrainCommand, train
from e2.version import __version__


class InOrder(CommandGroup):
    """Commands in the order of use: Typer would list groups of commands behind all single ones."""

    ORDER = ("quickstart", "start", "data", "train", "evaluate", "compare", "caption", "compose", "index", "app", "embed")
    FURTHER = ("export", "push", "wise-ft", "study", "speed", "report")

    def list_commands(self, ctx: Any) -> list[str]:
        return [*self.ORDER, *self.FURTHER]


def print_version(wanted: bool) -> None:
    """Prints the version and ends the command, if it is asked for."""
    if wanted:
        print(f"e2 {__version__}")
        raise typer.Exit


app = Commands(
    name="e2",
    cls=InOrder,
    help="E2: train a fashion CLIP that reads details, measure it, plug it into anything built on CLIP.",
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)


@app.callback()
def options(
    ctx: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=print_version, help="print the version and exit")
    ] = False,
) -> None:
    """Options of `e2` itself."""
    ctx.obj = require_named


app.command()(quickstart)
app.command()(start)

data_app = Commands(help="Look at a catalogue, or write one.")
data_app.command()(info)
data_app.command("import")(import_)
data_app.command()(entities)
data_app.command()(check)
data_app.command()(make)
data_app.command()(general)
data_app.command("amazon-fashion")(amazon_fashion)
app.add_typer(data_app, name="data")

app.command(cls=TrainCommand)(train)

evaluate_app = Commands(help="Measure a model.")
for measure in (retrieval, captioning, composed, probe, grounding, gap, detail):
    evaluate_app.command()(measure)
app.add_typer(evaluate_app, name="evaluate")
app.command()(compare)

app.add_typer(caption_app, name="caption")
app.add_typer(compose_app, name="compose")
app.add_typer(index_app, name="index")
app.command("app")(search_app)
app.command()(embed)
app.command()(export)
app.command()(push)
app.command("wise-ft")(wise_ft)
app.command(cls=TrainCommand)(study)
app.command()(speed)

report_app = Commands(help="Pages to look at.")
report_app.command("captions")(report_captions)
report_app.command("study")(report_study)
app.add_typer(report_app, name="report")

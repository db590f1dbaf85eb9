"""`e2 evaluate composed`: parses and calls. Heavy packages are imported inside the command."""

from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import typer

from e2.adapters.composed.command import Composition
from e2.errors import InputError
from e2.options import (
    CachedEncoderOptions,
    Json,
    Lacking,
    Models,
    ProductVectorRule,
    Seed,
    Split,
    TableOptions,
    Tags,
    Text,
    show,
)

COMPOSITIONS = [*get_args(Composition)]
Benchmark = Literal["attribute-swap", "attribute-drop", "fashioniq", "cirr", "circo", "fashion200k"]
Prompting = Literal["bare", "pic2word", "searle", "searle_forward", "clip4cir", "fame_vil"]


def composed(
    model: Models,
    table: TableOptions,
    loading: CachedEncoderOptions,
    method: Annotated[
        list[str] | None,  # Typer takes no list of choices
        typer.Option(autocompletion=lambda: COMPOSITIONS, help=f"{', '.join(COMPOSITIONS)}; repeatable"),
    ] = None,
    benchmark: Annotated[Benchmark, typer.Option()] = "attribute-swap",
    data: Annotated[str | None, typer.Option(metavar="SPEC", help="of attribute-*: boutique, a table or folder")] = None,
    annotations: Annotated[Path | None, typer.Option(help="folder of a published data set's annotations")] = None,
    images: Annotated[Path | None, typer.Option(help="folder of its photos")] = None,
    split: Split = None,
    composer: Annotated[list[Path] | None, typer.Option(help="folder of e2 compose fit; repeatable")] = None,
    preset: Annotated[Prompting | None, typer.Option(help="how captions are joined and prompts written")] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="METHOD.KEY=VALUE", help="option of one method; repeatable")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="folder for metrics.json of each pair and comparison.json")] = None,
    target: Annotated[Literal["image", "text"] | None, typer.Option(help="attribute-*: find photos or descriptions")] = None,
    text: Text = "caption",
    product_vector: ProductVectorRule | None = None,
    keep: Annotated[
        str | None,
        typer.Option(help="attribute-*: tags that change only if --swap names them; else the kind of garment"),
    ] = None,
    swap: Annotated[
        str | None, typer.Option(help="attribute-*: tags that may change, e.g. colour,season; else all but the kept ones")
    ] = None,
    changes: Annotated[int, typer.Option(help="attribute-swap: tags that change at once, at most (1 or 2)")] = 1,
    size: Annotated[int, typer.Option(help="attribute-*: queries")] = 1000,
    wordings: Annotated[int, typer.Option(help="attribute-*: ways to say each wish, 1 to 5")] = 5,
    queries: Annotated[Path | None, typer.Option(help="attribute-*: a saved queries.json to use again")] = None,
    gallery: Annotated[Literal["original", "val-union"] | None, typer.Option(help="fashioniq")] = None,
    missing: Annotated[Lacking, typer.Option(help="photos or queries missing from a published set")] = "error",
    examples: Annotated[int, typer.Option(min=0, help="queries to draw as examples.png, one picture per method")] = 0,
    tags: Tags = None,
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Search by a photo and a wish: methods x encoders, with 95 % intervals and paired differences.

    Example: `e2 evaluate composed --model runs/clip runs/e2 --method image text sum --data catalogue --tags brand,colour`
    """
    from e2.adapters.encoder import load_encoder
    from e2.adapters.product_vector import ProductVector
    from e2.benchmarks.composed.data.tagged_queries import TaggedQueries
    from e2.benchmarks.composed.evaluate import QUERIES, claim_pairs, evaluate_composed
    from e2.benchmarks.composed.methods import Methods
    from e2.benchmarks.composed.tasks import TAGGED, draw_task, open_tagged, published_task

    if examples and out is None:
        raise InputError("--examples draws into a folder; name it by --out")
    rule = ProductVector.parse(product_vector) if product_vector else None
    methods = Methods(method or (), composer or (), preset=preset, settings=set_ or ())
    claim_pairs(out, model, methods)
    if benchmark in TAGGED:
        _refuse(benchmark, annotations=annotations, images=images, gallery=gallery)
        if data is None:
            raise InputError(f"{benchmark} draws its queries from a catalogue; name it by --data")
        saved = ",".join(TaggedQueries.load(queries).settings["keep"]) if queries and not keep else keep
        catalogue, kept = open_tagged(data, split or "test", tags=tags, keep=saved, table=table)
        chosen = [name.strip() for name in swap.split(",")] if swap else None
        options: dict[str, Any] = {"keep": kept, "swap": chosen, "changes": changes, "size": size}
        options |= {"wordings": wordings, "seed": seed, "product_vector": rule}
        methods.catalogue = catalogue  # known only now; a wrong choice of methods was refused before
        task, listed = draw_task(benchmark, catalogue, queries=queries, target=target, text=text, **options)
        if out:
            listed.save(out / QUERIES)
    else:
        _refuse(benchmark, data=data, target=target, keep=keep, swap=swap, queries=queries, tags=tags, product_vector=rule)
        task = published_task(benchmark, annotations, images, split=split, missing=missing, gallery=gallery)
    encoders = [load_encoder(name, **vars(loading)) for name in model]
    if task.answers is None:
        _submit(encoders, task, methods, out)
        return
    found = evaluate_composed(encoders, task, methods, out=out, seed=seed, examples=examples)
    _show(found, json, out)


def _refuse(benchmark: str, **options: object) -> None:
    """Options that would do nothing: their user means another benchmark."""
    given = [name.replace("_", "-") for name, value in options.items() if value is not None]
    if given:
        raise InputError(f"--{given[0]} means nothing to --benchmark {benchmark}; leave it out, or choose another benchmark")


def _submit(encoders, task, methods, out: Path | None) -> None:
    """Hidden answers: files for the data set's server."""
    from e2.benchmarks.composed.data.usable import coverage_line
    from e2.benchmarks.composed.evaluate import write_submissions
    from e2.benchmarks.composed.tasks import SUBMISSIONS

    if out is None:
        raise InputError(f"the answers of {task.benchmark} {task.split} are hidden; name a folder for the submission by --out")
    for path in write_submissions(encoders, task, methods, SUBMISSIONS[task.benchmark], out):
        print(f"wrote {path}: hand it in at the data set's server")
    print(coverage_line(task.facts))


def _show(found, json: bool, out: Path | None) -> None:
    from rich.text import Text as Line

    from e2.benchmarks.composed.notes import notes
    from e2.benchmarks.composed.tables import details_table, differences_table, results_table

    tables = (results_table(found), details_table(found), differences_table(found))
    lines = [Line(note) for note in notes(found.results)]
    show(found.record(), json, *(table for table in tables if table is not None), *lines, out=out)

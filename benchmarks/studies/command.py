"""The commands `e2 study` and `e2 data general`."""

from pathlib import Path
from typing import Annotated

import typer

from e2.benchmarks.studies.registry import STUDIES
from e2.errors import InputError
from e2.options import Json, Out, TableOptions, show, wrote
from e2.training.command import TrainingOptions


def study(
    name: Annotated[str, typer.Argument(metavar="NAME", help=", ".join(STUDIES), autocompletion=lambda: [*STUDIES])],
    data: Annotated[
        list[str], typer.Option(metavar="SPEC", help="the catalogue; for `dataset` also several, each by its own --data")
    ],
    out: Out,
    training: TrainingOptions,
    runs: Annotated[Path | None, typer.Option(help="folder of the trainings, for several studies; else OUT/runs")] = None,
    seeds: Annotated[str, typer.Option(help="of the trainings, e.g. 0,1,2")] = "0,1,2",
    variants: Annotated[str | None, typer.Option(help="only these of the study, e.g. clip,e2")] = None,
    old_data: Annotated[str | None, typer.Option(metavar="SPEC", help="`forgetting`: what the start model is good at")] = None,
    longer: Annotated[
        float, typer.Option(metavar="TIMES", min=1, help="`controls`: clip-longer and multifield-longer, for equal compute")
    ] = 2.5,
    split: Annotated[str, typer.Option(help="that is measured")] = "test",
    config: Annotated[Path | None, typer.Option(help="YAML file with settings common to all trainings")] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="any setting common to all trainings")
    ] = None,
    json: Json = False,
) -> None:
    """Train variants of one method at equal budget, measure them alike, compare them over products and seeds.

    `--backbone` takes several for the study `backbone`, a,b,c. Models are measured in the precision of their training, and by
    descriptions where `--text` is mixed. Interrupted, the same command goes on; trainings in `--runs` serve every study that
    needs them.

    Example: `e2 study main --data boutique --seeds 0,1,2 --epochs 10 --runs runs/study --out runs/study-main`
    """
    from e2.benchmarks.core.records import NAME
    from e2.benchmarks.reports.study_records import StudyResult, tables_of
    from e2.benchmarks.reports.tables import for_terminal
    from e2.benchmarks.studies.base import Context
    from e2.benchmarks.studies.registry import study_named
    from e2.benchmarks.studies.tables import LATEX, MARKDOWN
    from e2.outputs import claim_results
    from e2.training.run import resolve

    claim_results(out, NAME, MARKDOWN, LATEX)
    context = Context(
        data=tuple(data),
        out=out,
        runs=runs or out / "runs",
        common=resolve(training.settings(), config, set_ or ()),
        seeds=read_seeds(seeds),
        split=split,
        chosen=tuple(variants.split(",")) if variants else None,
        old_data=old_data,
        longer=longer,
    )
    record = study_named(name).run(context)
    tables = map(for_terminal, tables_of(StudyResult(out, [record], [])))
    show(record, json, record["question"], *tables, f"wrote metrics.json, tables and figures to {out}")


def general(
    spec: Annotated[str, typer.Argument(metavar="SPEC")],
    out: Out,
    table: TableOptions,
    tags: Annotated[str, typer.Option(help="the columns of category and colour")] = "sub_category,colour",
) -> None:
    """Rewrite a catalogue with general captions, category and colour words only: a stand-in for pre-training on the web.

    Example: `e2 data general boutique:train=6000,val=300,test=1000,seed=100 --out runs/general-data`
    """
    from e2.benchmarks.studies.general import GENERAL, write_general
    from e2.data import splits_of
    from e2.outputs import claim

    claim(out, GENERAL, remove=False)
    print(wrote(write_general([table.open(spec, split, tags) for split in splits_of(spec)], out), out))


def read_seeds(text: str) -> tuple[int, ...]:
    """``"0,1,2"`` -> (0, 1, 2).

    Raises:
        InputError: anything else, or a seed twice.
    """
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() for part in parts) or len(set(map(int, parts))) < len(parts):
        raise InputError(f"--seeds {text}: write different whole numbers, e.g. 0,1,2")
    return tuple(sorted(map(int, parts)))

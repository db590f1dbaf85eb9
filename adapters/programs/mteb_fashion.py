"""Runs MTEB's fashion tasks on any encoder by one command:

``python -m e2.adapters.programs.mteb_fashion --model runs/mine --out runs/mteb``

| task | query -> answer |
|---|---|
| ``Fashion200kI2TRetrieval``, ``Fashion200kT2IRetrieval`` | photo -> description, description -> photo |
| ``FashionIQIT2IRetrieval`` | photo and wish -> photo |
| ``GLAMI1MI2TRetrieval``, ``GLAMI1MT2IRetrieval`` | photo -> title, title -> photo |
| ``SOPI2IRetrieval`` | photo -> the product's other photos |

MTEB fetches the data sets from the hub; where there is no network, ``--data FOLDER`` holds copies by their names on the hub,
``FOLDER/mteb/mbeir_fashion200k_task3``. It writes its own result files to ``--out``, and finished tasks are not run again.
"""

from pathlib import Path
from typing import Annotated

import typer

from e2.adapters.programs.mteb_encoder import MtebEncoder
from e2.errors import InputError
from e2.extras import extra

with extra("programs", "MTEB's tasks"):
    import mteb
    from mteb.abstasks import AbsTask

TASKS = (
    "Fashion200kI2TRetrieval",
    "Fashion200kT2IRetrieval",
    "FashionIQIT2IRetrieval",
    "GLAMI1MI2TRetrieval",
    "GLAMI1MT2IRetrieval",
    "SOPI2IRetrieval",
)


def fashion_tasks(names: list[str], data: Path | None = None) -> list[AbsTask]:
    """Makes tasks, on copies of their data sets in ``data`` if that is given.

    Raises:
        InputError: an unknown task, or no copy of its data set.
    """
    if unknown := sorted(set(names) - set(TASKS)):
        raise InputError(f"--task {unknown[0]}: there is no such fashion task; choose {', '.join(TASKS)}")
    tasks = [mteb.get_task(name) for name in names]
    for task in tasks if data else ():
        copy = data / task.metadata.dataset["path"]
        if not copy.is_dir():
            raise InputError(f"--data {data}: no folder {copy} for {task.metadata.name}; copy the data set there")
        task.metadata = task.metadata.model_copy(update={"dataset": {**task.metadata.dataset, "path": str(copy)}})
    return tasks


def main(
    model: Annotated[str, typer.Option(help="any encoder's name")],
    out: Annotated[Path, typer.Option(help="folder of MTEB's result files")],
    task: Annotated[list[str] | None, typer.Option(help="one of the tasks; repeatable; all if none is given")] = None,
    data: Annotated[Path | None, typer.Option(help="folder with copies of the data sets")] = None,
    device: str = "auto",
) -> None:
    """Run MTEB's fashion tasks."""
    try:
        tasks = fashion_tasks(task or list(TASKS), data)
        encoder = MtebEncoder(model, device=device)
    except InputError as error:
        typer.echo(f"mteb_fashion: {error}", err=True)
        raise typer.Exit(2) from error
    results = mteb.evaluate(encoder, tasks, cache=mteb.ResultCache(out), co2_tracker=False)
    for result in results.task_results:
        typer.echo(f"{result.task_name}: {100 * result.get_score():.2f} {result.task.metadata.main_score}")


if __name__ == "__main__":
    typer.run(main)

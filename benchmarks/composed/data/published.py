"""Makes a `Task` of a published data set: its annotations and photos, checked and counted (`usable`)."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from e2.benchmarks.composed.data.files import check_counts
from e2.benchmarks.composed.data.task import Task
from e2.benchmarks.composed.data.usable import Count, PublishedQuery, coverage, usable_photos, usable_queries
from e2.errors import InputError, printable

Rows = Mapping[str, int]  # name of a photo -> its row
ALL = "all"  # category of a data set without categories


class Annotated(NamedTuple):
    """One category as annotated."""

    queries: list[PublishedQuery]  # all of them
    photos: Sequence[str]  # names of all of them, as listed
    # number of queries and of photos that its authors give, None if unknown
    published: tuple[int | None, int | None] = (None, None)


def build_task(
    data: str,
    protocol: str,
    split: str,
    missing: str,
    images: Path,
    found: Mapping[str, Path],
    categories: Mapping[str, Annotated],
    fields: Callable[[list[PublishedQuery], Rows], dict[str, Any]],
    *,
    referred_only: bool = False,
    facts: Mapping[str, Any] | None = None,
) -> Task:
    """Leaves out what cannot be used (or refuses it, see ``missing``) and builds the task of the rest.

    Args:
        data: name of the data set, for messages; in lower case the task's.
        protocol, split, facts: of the task.
        missing: ``error`` or ``skip``.
        images: folder of the photos, for messages.
        found: name -> file, of the photos that are there.
        categories: category -> what is annotated.
        fields: usable queries, and the row of each photo -> further fields of `Task`.
        referred_only: galleries hold references and targets only, not all photos of the category.

    Raises:
        InputError: anything missing or inconsistent.
    """
    queries: list[PublishedQuery] = []
    rows: dict[str, int] = {}
    paths: dict[str, Path] = {}
    galleries, covered, of_category = {}, {}, []
    for category, (annotated, listed, (all_queries, all_photos)) in categories.items():
        part = data if category == ALL else f"{data} {category}"
        check_counts(f"{part} {split} queries", len(annotated), all_queries, missing)
        check_counts(f"{data} photos" if category == ALL else f"{part} {split} photos", len(listed), all_photos, missing)
        photos, causes = usable_photos(listed, found, missing, images)
        usable, left_out = usable_queries(annotated, photos, missing, f"{part} {split}" if category == ALL else part)
        covered[category] = coverage(
            queries=Count(len(usable), len(annotated), all_queries, left_out),
            photos=Count(len(photos), len(listed), all_photos, causes),
        )
        paths |= photos
        referred = sorted({name for query in usable for name in (query.reference, *query.answers)})
        members = referred if referred_only else list(photos)
        galleries[category] = np.array([rows.setdefault(name, len(rows)) for name in members])
        queries += usable
        of_category += [category] * len(usable)
    references = np.array([rows[query.reference] for query in queries])
    known = {
        "image_names": list(rows),
        "answers": [np.array([rows[name] for name in query.answers]) for query in queries] if queries[0].answers else None,
    }
    return Task(
        benchmark=data.lower(),
        protocol=protocol,
        name=data.lower(),
        split=split,
        images=[paths[name] for name in rows],
        references=references,
        wordings=[[query.captions for query in queries]],
        categories=np.array(of_category),
        galleries=galleries,
        clusters=references,
        facts={**(facts or {}), "coverage": covered.get(ALL, covered)},
        query_names=[query.name for query in queries],
        **known | fields(queries, rows),
    )


def check_names(queries: Sequence[PublishedQuery]) -> None:
    """Refuses a split of which only some answers are hidden, and names of which a server's file could hold only one.

    Raises:
        InputError: naming the query.
    """
    seen: set[str] = set()
    for query in queries:
        if bool(query.answers) != bool(queries[0].answers):
            raise InputError(f"{query.where}: some queries have a target and some have none; get the file again")
        if query.name in seen:
            raise InputError(f"{query.where}: a second query {printable(query.name)}; get the file again from its publisher")
        seen.add(query.name)

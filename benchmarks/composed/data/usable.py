"""Finds the usable part of a published data set: intact photos, and queries with photos and a wish.

The rest is counted by cause. ``--missing error`` refuses it, ``--missing skip`` leaves it out; incomplete submissions, which
servers reject, are refused (`refuse_incomplete`).
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from e2.adapters.composed.base import Wish, wish_fault
from e2.benchmarks.composed.data.files import check_missing
from e2.data.images import BadImage, check_image
from e2.errors import InputError, printable
from e2.progress import with_progress

TWICE, ABSENT, DAMAGED = "named twice", "missing", "damaged"  # photos
NO_PHOTO, NO_WISH, SAME = "without a photo", "without a usable wish", "with one photo as reference and target"  # queries
KINDS = ("queries", "photos")


@dataclass(frozen=True)
class PublishedQuery:
    """One query of a published set."""

    name: str  # its name for a server or a later run
    reference: str  # name of its photo
    answers: tuple[str, ...]  # names of the right photos, the annotated target first; none if hidden
    captions: Wish  # the wish as annotated, one caption or several
    where: str  # file and position of its annotation
    others: tuple[str, ...] = ()  # names of further photos that it needs


def usable_photos(
    listed: Sequence[str], found: Mapping[str, Path], missing: str, folder: Path
) -> tuple[dict[str, Path], Counter[str]]:
    """Looks up every photo and, under ``skip``, reads each: a damaged one would stop the run later.

    Args:
        listed: names, as the data set lists them.
        found: name -> file, of the existing photos.
        missing: ``error`` or ``skip``.
        folder: for messages.

    Returns:
        Name -> file in the order of the list, and the number of those left out by cause.

    Raises:
        InputError: a photo is missing or named twice under ``error``, or none is usable.
    """
    check_missing(missing)
    names = dict.fromkeys(listed)
    absent = [name for name in names if name not in found]
    here = {name: found[name] for name in names if name in found}
    damaged = _damaged(here) if missing == "skip" else {}
    usable = {name: path for name, path in here.items() if name not in damaged}
    causes = +Counter({ABSENT: len(absent), DAMAGED: len(damaged), TWICE: len(listed) - len(names)})
    if usable and (missing == "skip" or not causes):
        return usable, causes
    if absent:
        raise InputError(
            f"{folder} lacks {len(absent):,} of {len(listed):,} photos, {printable(absent[0])} for one; "
            "complete it, or evaluate on what is there by --missing skip"
        )
    if damaged:
        raise InputError(f"{folder}: {_damage(damaged, len(listed))}")
    raise InputError(
        f"{causes[TWICE]:,} of {len(listed):,} photos are named twice; get the list again, or count each once: --missing skip"
    )


def refuse_damaged(paths: Mapping[str, Path]) -> None:
    """Names the damaged photos that made encoding fail.

    Raises:
        InputError: some cannot be read.
    """
    if damaged := _damaged(paths):
        raise InputError(_damage(damaged, len(paths)))


def usable_queries(
    queries: Sequence[PublishedQuery], photos: Iterable[str], missing: str, what: str
) -> tuple[list[PublishedQuery], Counter[str]]:
    """Selects queries with ``photos``, a target of their own and a wish; counts the others by cause. ``what``: the data, for
    messages.

    Raises:
        InputError: an unusable query under ``error``, or no usable query.
    """
    photos = set(photos)
    usable, left_out = [], Counter[str]()
    for query in queries:
        fault = wish_fault(query.captions if isinstance(query.captions, str) else " ".join(query.captions))
        absent = next((name for name in (query.reference, *query.answers, *query.others) if name not in photos), None)
        cause = problem = None
        if fault:
            cause, problem = NO_WISH, f"the wish {fault}"
        elif absent is not None:
            cause, problem = NO_PHOTO, f"photo {printable(absent)!r} is not in the gallery; get the annotations again"
        elif query.reference in query.answers[:1]:
            cause, problem = SAME, "reference and target are one photo; get the annotations again"
        if cause and missing == "error":
            raise InputError(f"{query.where}: {problem}, or evaluate on the rest by --missing skip")
        if cause:
            left_out[cause] += 1
        else:
            usable.append(query)
    if not usable:
        raise InputError(f"no {what} query has all of its photos and a wish; complete the folder given by --images")
    return usable, left_out


class Count(NamedTuple):
    """Numbers evaluated, annotated, published (None: unknown), and left out by cause."""

    used: int
    annotated: int
    published: int | None
    left_out: Mapping[str, int]


def coverage(**counts: Count) -> dict[str, Any]:
    """Coverage of a data set, or of one category of it, for a result; ``counts``: of `KINDS`."""
    numbers = {
        kind: {"used": one.used, "annotated": one.annotated, "published": one.published} for kind, one in counts.items()
    }
    return {**numbers, "left_out": {kind: dict(one.left_out) for kind, one in counts.items()}}


def covered(facts: Mapping[str, Any]) -> dict[str, Count]:
    """Adds up ``queries`` and ``photos`` of a task's facts over its categories; empty for an unpublished task."""
    found = facts.get("coverage")
    if not found:
        return {}
    parts = [found] if "queries" in found else list(found.values())
    return {kind: _added([Count(**part[kind], left_out=part["left_out"][kind]) for part in parts]) for kind in KINDS}


def coverage_line(facts: Mapping[str, Any]) -> str | None:
    """Puts the coverage into words: ``22 of 24 queries (2 without a photo), 23 of 24 photos (1 missing); published are 6,016
    queries``.
    """
    told, published = [], []
    for kind, part in covered(facts).items():
        causes = ", ".join(f"{count:,} {cause}" for cause, count in part.left_out.items())
        told.append(f"{part.used:,} of {part.annotated:,} {kind}" + (f" ({causes})" if causes else ""))
        if part.published not in (None, part.annotated):
            published.append(f"{part.published:,} {kind}")
    if not told:
        return None
    return ", ".join(told) + (f"; published are {' and '.join(published)}" if published else "")


def refuse_incomplete(task_name: str, facts: Mapping[str, Any]) -> None:
    """Refuses an incomplete submission, which must hold every query, ranked among every photo.

    Raises:
        InputError: something was left out.
    """
    if any(part.left_out for part in covered(facts).values()):
        raise InputError(
            f"{task_name}: {coverage_line(facts)}; a server takes complete submissions only, so complete --images"
        )


def _added(parts: Sequence[Count]) -> Count:
    used, annotated, published, left_out = zip(*parts, strict=True)
    everything = None if None in published else sum(published)
    return Count(sum(used), sum(annotated), everything, sum(map(Counter, left_out), Counter()))


def _damaged(paths: Mapping[str, Path]) -> dict[str, str]:
    """Unreadable photos: name -> what is wrong."""
    with ThreadPoolExecutor() as pool:  # Pillow's decoders release Python's lock
        causes = with_progress(pool.map(_fault, paths.values()), "Checking", len(paths), True)
        return {name: cause for name, cause in zip(paths, causes, strict=True) if cause}


def _fault(path: Path) -> str | None:
    try:
        check_image(path)
    except BadImage as error:
        return error.cause
    return None


def _damage(damaged: Mapping[str, str], total: int) -> str:
    name, cause = next(iter(damaged.items()))
    return (
        f"{len(damaged):,} of {total:,} photos are damaged, {printable(name)} for one ({printable(cause)}); "
        "replace them, or evaluate on the rest by --missing skip"
    )

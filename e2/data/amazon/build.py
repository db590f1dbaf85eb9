"""Builds AmazonFashion: metadata -> plan -> photos -> tar shards; may be killed at any moment and resumed."""

import contextlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from e2.counting import counted
from e2.data.amazon.journal import Journal, Shard, clear_errors
from e2.data.amazon.metadata import read_lines
from e2.data.amazon.planning import Selection, write_plan
from e2.data.amazon.source import STATISTICS
from e2.data.amazon.statistics import statistics
from e2.data.fetch.folder import alone_in, database, remove
from e2.data.fetch.photos import Manners, PhotoFetcher
from e2.data.fetch.turns import fetch_all
from e2.data.shard_writer import write_shard
from e2.errors import InputError
from e2.files import atomic_path, write_json
from e2.outputs import OutputKind, claim, record, record_folder
from e2.progress import with_progress

STATE, FAILURES = "build.sqlite", "failures.jsonl"
BUILD = OutputKind("a build of Amazon's catalogue", finished=STATISTICS, begun=STATE, names=(*database(STATE), FAILURES))


def build_amazon_fashion(
    meta: Path,
    out: Path,
    *,
    selection: Selection | None = None,
    manners: Manners | None = None,
    resume: bool = False,
    overwrite: bool = False,
    progress: bool = True,
) -> dict[str, Any]:
    """Builds the data set in a folder: ``SPLIT-000000.tar`` and so on, ``statistics.json``, ``failures.jsonl``.

    ``meta`` is Amazon Reviews metadata (2018 or 2023), a JSON object per line, plain or gzip. Photos keep the bytes that the
    server sent. The order of products, their splits and their shards follow from the metadata and the selection alone, not
    from the order of arrival. Products without any fetched photo are left out. ``resume`` continues a stopped build, perhaps
    with other manners; no photo is fetched twice.

    Returns:
        The result of `e2.data.amazon.statistics.statistics`.

    Raises:
        TrainingStopped: the network is down; fetched photos are kept.
    """
    meta, out, selection = Path(meta), Path(out), selection or Selection()
    settings = {"metadata": [meta.name, _size(meta)], **asdict(selection)}
    with alone_in(out), clear_errors(out / STATE):
        if claim(out, BUILD, resume=resume, overwrite=overwrite) != "finished":
            record_folder(out, BUILD)
            remove(out.glob(".*.tmp*"))
            if not (out / STATE).exists():
                _plan(meta, out / STATE, selection, settings, progress)
            with contextlib.closing(Journal(out / STATE)) as journal:
                _require_same(journal.note("settings"), settings)
                _fetch_all(journal, PhotoFetcher(manners or Manners()), out, selection.shard_size, progress)
                _finish(journal, out)
        remove(out.glob(f"{STATE}*"))
        return json.loads((out / STATISTICS).read_text(encoding="utf-8"))


def _size(meta: Path) -> int:
    try:
        return meta.stat().st_size
    except OSError as error:
        raise InputError(f"--meta {meta}: {error.strerror}; name meta_AMAZON_FASHION.jsonl[.gz]") from error


def _plan(meta: Path, state: Path, selection: Selection, settings: dict[str, Any], progress: bool) -> None:
    lines = with_progress(read_lines(meta), "Reading metadata", None, progress)
    with atomic_path(state) as temporary:
        counts = write_plan(temporary, lines, selection)
        if not counts["products"]:
            reasons = ", ".join(f"{count:,} {reason}" for reason, count in counts["left_out"].items()) or "empty"
            raise InputError(f"--meta {meta}: none of {counted(counts['lines'], 'line')} is a product to take ({reasons})")
        with contextlib.closing(Journal(temporary)) as journal:
            journal.set_note("metadata", counts)
            journal.set_note("settings", settings)


def _require_same(noted: dict[str, Any], given: dict[str, Any]) -> None:
    other = [f"{name} was {noted[name]}, is {given[name]}" for name in given if noted[name] != given[name]]
    if other:
        raise InputError(f"--resume: the stopped build had other settings ({'; '.join(other)}); give the same, or --overwrite")


def _fetch_all(journal: Journal, fetcher: PhotoFetcher, out: Path, shard_size: int, progress: bool) -> None:
    """Fetches pending photos and writes each shard once all its photos are fetched or lost."""
    pending = journal.open_shards()
    for shard in [shard for shard, count in pending.items() if not count]:  # killed before they were written
        _write(journal, shard, out, shard_size)
    for photo in fetch_all(fetcher, journal, sum(pending.values()), progress):
        pending[photo.of] -= 1
        if not pending[photo.of]:
            _write(journal, photo.of, out, shard_size)


def _write(journal: Journal, shard: Shard, out: Path, shard_size: int) -> None:
    split, number = shard
    path = out / f"{split}-{number:06d}.tar"
    record(path, BUILD.name)
    with atomic_path(path) as temporary:
        write_shard(temporary, journal.products(shard), first=number * shard_size)
    journal.shard_is_written(shard)


def _finish(journal: Journal, out: Path) -> None:
    found = statistics(journal)
    if not found["photos"]["fetched"]:
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in found["photos"]["lost"].items())
        raise InputError(f"no photo could be fetched ({reasons}); look at a few of the URLs in the metadata")
    with atomic_path(out / FAILURES) as temporary, temporary.open("w", encoding="utf-8", errors="backslashreplace") as file:
        file.writelines(json.dumps(failure, ensure_ascii=False) + "\n" for failure in journal.failures())
    write_json(out / STATISTICS, found)

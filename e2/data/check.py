"""Finds a catalogue's unusable rows by cause; decodes every image once and caches the verdict."""

import contextlib
import json
import os
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from e2.counting import counted
from e2.data import cache
from e2.data.canonical import are_cut
from e2.data.catalogue import ImageStore
from e2.data.columns import CUT_ID, MALFORMED, NOTES
from e2.data.images import BadImage, MissingImage, UnreadableImage, check_image, reading_rules
from e2.data.paths import LostOnTheWeb, RemoteImage, WindowsImage
from e2.errors import InputError, printable
from e2.files import atomic_path
from e2.progress import with_progress

ROWS_PER_TASK = 64
VERSION = 4  # version of the cached verdicts; counts up whenever the same files get another verdict
MISSING, UNREADABLE = "missing image file", "unreadable image"
REMOTE, WINDOWS = "image named by URL", "Windows image path"
NO_TEXT = "no text"
NOT_FETCHED = "no photo could be fetched"
LEFT_OUT = "photos left out of products that have others"
DUPLICATE, FURTHER = "duplicate id", "a further photo of it"
HINTS = {
    "malformed row": 'quote cells with the delimiter or a line break, double quotation marks in them (""), use one encoding, '
    "which --encoding names",
    "no JSON object": "write one object per line",
    "repeated key": "write each key of an object once",
    REMOTE: "URLs are not fetched here: `e2 data import SPEC --out DIR` fetches the photos",
    WINDOWS: "write / for backslashes, and paths relative to the table instead of a drive such as C:\\",
}
TASKS_AHEAD = 256  # handed to the threads at a time, so that memory does not grow with the catalogue
SHOWN = 10  # bad rows that an error names
LONGEST_DETAIL = 300  # characters of each


Verdict = tuple[str, str, tuple[tuple[int, str], ...]]  # on a bad row, the fields of `BadRow` without its number


class BadRow(NamedTuple):
    """An unusable row, or one that can be used without some of its photos."""

    row: int  # row number in the table, from 0
    cause: str  # no id, no text, no image, broken image, one of those above, or the reader's cause for a malformed row
    detail: str = ""  # details
    photos: tuple[tuple[int, str], ...] = ()  # if others of the row are good: place and cause of each that is not


def find_bad_rows(
    table: pa.Table,
    images: ImageStore,
    identity: Sequence[object] | None = None,
    progress: bool = False,
    most_photos: int | None = None,
    together: bool = False,
    texts_needed: bool = True,
) -> list[BadRow]:
    """Finds every unusable row of a normalised table, in order, each with its most serious cause.

    Of several rows with one id the first usable one is kept; later ones are duplicates. A row some of whose photos are bad is
    among those found, but can be used without them (`only_photos`).

    ``identity`` (JSON-able) changes whenever the images may have; their verdict is cached under it. None: not cached.
    ``most_photos``: images of no more rows are decoded, the first ones. ``together``: every process of a training calls this
    and decodes its part of them. ``texts_needed``: rows without a description are unusable.
    """
    bad = {found.row: found for found in bad_texts(table) if texts_needed or found.cause != NO_TEXT}
    find = partial(_bad_images, images=images, progress=progress)
    if not images.may_be_damaged:
        bad_images = []
    elif identity is None or most_photos is not None:
        bad_images = list(find(table.column("images").slice(0, most_photos)))
    elif together:
        bad_images = _cached_bad_images(table, images, identity, partial(_bad_images_together, find), _known_to_all)
    else:
        bad_images = _cached_bad_images(table, images, identity, find)
    bad = {found.row: found for found in bad_images} | bad
    bad |= {found.row: found for found in _duplicates(table, {row for row, found in bad.items() if not found.photos})}
    return [found for _, found in sorted(bad.items())]


def only_photos(bad_rows: Sequence[BadRow]) -> tuple[list[BadRow], list[BadRow]]:
    """Divides what was found into unusable rows, and those that can be used without some of their photos."""
    return [found for found in bad_rows if not found.photos], [found for found in bad_rows if found.photos]


def photos_left_out(bad_rows: Sequence[BadRow]) -> dict[int, tuple[int, ...]]:
    """Maps the rows that can be used to the places of the photos that cannot."""
    return {found.row: tuple(place for place, _ in found.photos) for found in bad_rows}


def rows_in_question(table: pa.Table, lost: Collection[int] = ()) -> np.ndarray:
    """Mask of the rows that are used if their photos can be: bad ones and those of an id that occurred before are not.

    Args:
        table: a normalised table.
        lost: rows that lost all photos.
    """
    bad = {*lost, *(found.row for found in bad_texts(table))}
    mask = np.ones(len(table), dtype=bool)
    mask[[*bad, *(found.row for found in _duplicates(table, bad))]] = False
    return mask


def require_policy(on_bad_row: str) -> None:
    """Refuses anything but ``error`` and ``skip``."""
    if on_bad_row not in ("error", "skip"):
        raise InputError(f"--on-bad-row {on_bad_row!r} is unknown; choose error or skip")


def count_causes(bad_rows: Sequence[BadRow]) -> dict[str, int]:
    """Counts the rows of each cause, most frequent first."""
    return dict(Counter(found.cause for found in bad_rows).most_common())


def describe(counts: dict[str, int]) -> str:
    """Lists the counts in words, e.g. ``12 broken image, 3 no text``."""
    return ", ".join(f"{count:,} {cause}" for cause, count in counts.items())


def hints(bad_rows: Sequence[BadRow]) -> list[str]:
    """Advice for causes whose name does not give it, one line each, with the number of rows concerned."""
    counts = Counter(found.cause for found in bad_rows)
    lines = [f"{counts[cause]:,} {cause}: {hint}" for cause, hint in HINTS.items() if counts[cause]]
    if further := sum(found.detail == FURTHER for found in bad_rows):
        hint = "they are not used; `e2 data import SPEC --group-by ID_COLUMN` puts them together"
        lines.append(f"{further:,} of the {counted(counts[DUPLICATE], 'row')} with a duplicate id hold further photos: {hint}")
    return lines


def complain(where: str, table: pa.Table, bad_rows: Sequence[BadRow], first_row: int = 1, skip: bool = False) -> InputError:
    """Builds the error that counts the bad rows and lists the first ten; ``skip``: there are none to keep."""
    ids, counts = table.column("product_id"), describe(count_causes(bad_rows))
    if skip:
        lines = [f"{where}: there are no products: all rows are unusable ({counts}); fix them, or name another split or file"]
    else:
        advice = "fix them, or leave them out by --on-bad-row skip"
        lines = [f"{where}: {len(bad_rows):,} of {counted(table.num_rows, 'row')} cannot be used ({counts}); {advice}"]
    for row, cause, detail, _ in bad_rows[:SHOWN]:
        identifier = ids[row].as_py()
        name = "" if identifier is None else f", id {identifier[:40]!r}"
        lines.append(f"  row {row + first_row:,}{name}: {cause}" + (f" ({_shown(detail)})" if detail else ""))
    return InputError("\n".join([*lines, *(f"  {hint}" for hint in hints(bad_rows))]))


def _shown(detail: str) -> str:
    """Shortens outside text for a message, which a photo in Base64 would fill."""
    return printable(detail if len(detail) <= LONGEST_DETAIL else f"{detail[:LONGEST_DETAIL]}...")


def count_notes(table: pa.Table, rows: np.ndarray | None = None, without: Sequence[BadRow] = ()) -> dict[str, dict[str, int]]:
    """Counts the notes on the usable rows: what -> value -> number of rows, most frequent first.

    Args:
        table: a normalised table.
        rows: the usable ones; None: all.
        without: those that are used without some of their photos, which are counted by cause.
    """
    counts: dict[str, dict[str, int]] = {}
    if lost := Counter(cause for found in without for _, cause in found.photos):
        counts[LEFT_OUT] = dict(lost.most_common())
    if NOTES not in table.schema.names:
        return counts
    notes = table.column(NOTES) if rows is None else table.column(NOTES).take(pa.array(rows))
    for found, count in Counter((note["what"], note["value"]) for note in pc.list_flatten(notes).to_pylist()).most_common():
        counts.setdefault(found[0], {})[found[1]] = count
    return counts


def tell_notes(notes: Mapping[str, Mapping[str, int]]) -> list[str]:
    """Puts the notes into words, a line each, e.g. ``brand taken as missing: 3 ('None' 2, 'NA' 1)``."""
    lines = []
    for what, values in notes.items():
        named = ", ".join(f"{printable(value)[:40]!r} {count:,}" for value, count in list(values.items())[:SHOWN])
        lines.append(f"{what}: {sum(values.values()):,} ({named}{', ...' if len(values) > SHOWN else ''})")
    return lines


def bad_texts(table: pa.Table) -> Iterator[BadRow]:
    """Rows that are bad regardless of their images; the most serious cause of a row comes last."""
    for cause, role, rows in (
        ("no image", "image", _empty(table.column("images"))),
        (NO_TEXT, "caption", _empty(table.column("captions"))),
        ("no id", "id", np.flatnonzero(np.asarray(table.column("product_id").is_null()))),
    ):
        yield from (BadRow(row, cause, _notes_of(table, row, role)) for row in rows.tolist())
    if MALFORMED in table.schema.names:
        reasons = table.column(MALFORMED)
        for row in np.flatnonzero(np.asarray(reasons.is_valid())).tolist():
            cause, _, detail = reasons[row].as_py().partition(": ")
            yield BadRow(row, cause, detail)


def _notes_of(table: pa.Table, row: int, role: str) -> str:
    """Notes on a row that explain what it lacks."""
    notes = table.column(NOTES)[row].as_py() if NOTES in table.schema.names else None
    told = [note for note in notes or () if note["what"].split()[0] in (role, "files")]
    return "; ".join(f"{note['what']}: {note['value']!r}" for note in told)


def _duplicates(table: pa.Table, bad: Collection[int]) -> Iterator[BadRow]:
    """Rows after the first usable one of their id."""
    ids = table.column("product_id").combine_chunks()
    numbers = np.asarray(pc.fill_null(pc.index_in(ids, pc.unique(ids)), -1))
    usable = np.setdiff1d(np.arange(len(numbers)), np.fromiter(bad, np.int64, len(bad)))
    first = np.full(len(numbers) + 1, len(numbers))  # of each id; the last entry is for rows without one
    kept, places = np.unique(numbers[usable], return_index=True)
    first[kept] = usable[places]
    first[-1] = len(numbers)
    images, cut = table.column("images"), are_cut(ids)
    for row in np.flatnonzero(first[numbers] < np.arange(len(numbers))).tolist():
        photos = images[row]
        further = len(photos) and photos != images[int(first[numbers[row]])]
        yield BadRow(row, DUPLICATE, CUT_ID if cut[row] else FURTHER if further else "")


def _empty(lists: pa.ChunkedArray) -> np.ndarray:
    return np.flatnonzero(np.asarray(pc.list_value_length(lists)) == 0)


def _cached_bad_images(
    table: pa.Table,
    images: ImageStore,
    identity: Sequence[object],
    find: Callable[[pa.ChunkedArray], Iterable[BadRow]],
    agree: Callable[[bool], bool] = bool,
) -> list[BadRow]:
    """Verdicts out of the cache, or of ``find``; ``agree`` tells whether they are known wherever they are needed."""
    stamps = images.digest(table.column("images"))
    file = cache.cache_folder() / "checks" / f"{cache.key(VERSION, *identity, stamps, *reading_rules())}.json"
    known = None
    with contextlib.suppress(OSError, ValueError, TypeError):  # absent or damaged: check again
        stored = json.loads(file.read_text())
        known = [BadRow(row, cause, detail, tuple(map(tuple, photos))) for row, cause, detail, photos in stored]
    if agree(known is not None):
        return known or []
    found = list(find(table.column("images")))
    causes = {cause for bad in found for cause in (bad.cause, *(cause for _, cause in bad.photos))}
    if UNREADABLE in causes or (MISSING in causes and not stamps):
        return found  # a later try may succeed
    # A cache that cannot be written only costs time.
    with contextlib.suppress(InputError, OSError), atomic_path(file, cache=True) as temporary:
        temporary.write_text(json.dumps(found))
    return found


def _bad_images_together(find: Callable[[pa.ChunkedArray], Iterable[BadRow]], cells: pa.ChunkedArray) -> list[BadRow]:
    """Bad images of all rows, of which each process decodes a part."""
    from e2.distributed import by_parts  # brings PyTorch, which tables do without

    return by_parts(
        len(cells),
        lambda part: [bad._replace(row=bad.row + part.start) for bad in find(cells.slice(part.start, len(part)))],
    )


def _known_to_all(known: bool) -> bool:
    from e2.distributed import all_of

    return all_of(known)


def _bad_images(cells: pa.ChunkedArray, images: ImageStore, progress: bool) -> Iterator[BadRow]:
    """Decodes all images with a few threads: Pillow's decoders release Python's lock."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        verdicts = with_progress(_verdicts(cells, images, pool), "checking images", len(cells), progress)
        for row, verdict in enumerate(verdicts):
            if verdict:
                yield BadRow(row, *verdict)


def _verdicts(cells: pa.ChunkedArray, images: ImageStore, pool: ThreadPoolExecutor) -> Iterator[Verdict | None]:
    """Yields the verdict on each row in order, while a block of tasks at a time is worked on."""
    block = ROWS_PER_TASK * TASKS_AHEAD
    for first in range(0, len(cells), block):
        starts = range(first, min(first + block, len(cells)), ROWS_PER_TASK)
        slices = (cells.slice(start, ROWS_PER_TASK) for start in starts)
        for found in pool.map(lambda part: [_verdict(cell, images) for cell in part], slices):
            yield from found


def _verdict(cell: pa.ListScalar, images: ImageStore) -> Verdict | None:
    """Verdict on a row with a bad image; None for a good row."""
    bad: dict[int, BadImage] = {}
    for place, photo in enumerate(cell.values):
        entry = photo.as_py()
        try:
            if not images.known_good(entry):
                check_image(images.read(entry))
        except BadImage as error:
            bad[place] = error
    if not bad:
        return None
    place, first = next(iter(bad.items()))
    detail = first.where if isinstance(first, RemoteImage | MissingImage) else first.cause
    if len(bad) == len(cell.values):
        return _cause(first), detail, ()
    photos = tuple((at, found.cause if isinstance(found, LostOnTheWeb) else _cause(found)) for at, found in bad.items())
    return _cause(first), f"photo {place + 1} of {len(cell.values)}: {detail}", photos


def _cause(error: BadImage) -> str:
    kinds = ((LostOnTheWeb, NOT_FETCHED), (RemoteImage, REMOTE), (WindowsImage, WINDOWS), (MissingImage, MISSING))
    for kind, cause in kinds:
        if isinstance(error, kind):
            return cause
    return UNREADABLE if isinstance(error, UnreadableImage) else "broken image"

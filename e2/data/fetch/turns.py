"""Fetches many photos in parallel so that no outage costs any: failures that may pass get a second turn."""

import sqlite3
from abc import ABC, abstractmethod
from collections import Counter, deque
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from e2.data.fetch.photos import Fetched, PhotoFetcher
from e2.errors import TrainingStopped, printable
from e2.progress import LogLines

ROWS_AT_ONCE = 1000
AHEAD = 2  # photos handed to the threads, per connection
OUTAGE = 200  # unreachable photos in a row after which to suspect the network


@dataclass(frozen=True)
class PhotoToFetch:
    """A photo to fetch; ``of`` is what it belongs to, for the caller."""

    number: int
    urls: tuple[str, ...]
    of: Any = None


class FetchResult(NamedTuple):
    """Result for a photo; if not ``final``, it gets a second turn."""

    photo: PhotoToFetch
    fetched: Fetched
    final: bool = True


class FetchLedger(ABC):
    """Photos to fetch and their results, in a table ``photo`` of an SQLite file.

    For one thread; every method leaves a consistent state on disk, even if the process is killed.
    """

    PENDING: ClassVar[str]  # selects the next photos behind a number, at most so many, in their order

    def __init__(self, file: Path):
        self._db = sqlite3.connect(file, isolation_level=None)  # each statement is a transaction
        # Commits survive the end of the process; only a power cut may lose the last photos, which are fetched again
        self._db.executescript("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;")

    def close(self) -> None:
        """Closes the file."""
        self._db.close()

    def pending(self) -> Iterator[PhotoToFetch]:
        """Photos still to be fetched, in their order; others may be recorded meanwhile."""
        last = -1
        while rows := self._db.execute(self.PENDING, [last, ROWS_AT_ONCE]).fetchall():
            yield from (self.photo(*row) for row in rows)
            last = rows[-1][0]

    def counts(self) -> Counter[str]:
        """State of a photo -> number of photos."""
        return Counter(dict(self._db.execute("SELECT state, count(*) FROM photo GROUP BY state")))

    @abstractmethod
    def photo(self, number: int, *row: Any) -> PhotoToFetch:
        """Photo of a row of ``PENDING``."""

    @abstractmethod
    def one_that_came(self) -> Sequence[str] | None:
        """URLs of a photo that was fetched before, to try whether the network is there; None if none was."""

    @abstractmethod
    def record(self, photo: PhotoToFetch, fetched: Fetched) -> None:
        """Records the result for a photo."""


def fetch_all(fetcher: PhotoFetcher, ledger: FetchLedger, total: int, progress: bool = True) -> Iterator[PhotoToFetch]:
    """Fetches pending photos and yields each one whose final result was recorded; few are in flight, so memory stays flat.

    Raises:
        TrainingStopped: the network is down; what was not recorded is still to be fetched.
    """

    def online() -> bool:
        urls = ledger.one_that_came()
        return urls is not None and not fetcher.fetch(urls).outage

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    lines, done, lost = LogLines("fetching photos", total), 0, 0
    with Progress(*columns, console=console, transient=True, disable=not (progress and console.is_terminal)) as bar:
        task = bar.add_task("fetching photos", total=total)
        for photo, fetched, final in _trusted(_in_turns(fetcher, ledger.pending()), online):
            if not final:
                continue
            ledger.record(photo, fetched)
            done, lost = done + 1, lost + (fetched.contents is None)
            bar.update(task, advance=1, description=f"fetching photos ({lost:,} lost)")
            if progress and not console.is_terminal:
                lines.tell(done, f"{lost:,} lost")
            yield photo


def _in_turns(fetcher: PhotoFetcher, photos: Iterator[PhotoToFetch]) -> Iterator[FetchResult]:
    """Yields photos with their results as they complete.

    A photo with a temporary failure gets a second turn, after `OUTAGE` others like it or at the end. So a passing outage loses
    none, and few photos are waited for.
    """
    running: dict[Future[Fetched], PhotoToFetch] = {}
    again: deque[PhotoToFetch] = deque()
    second: set[int] = set()
    with ThreadPoolExecutor(fetcher.manners.connections) as pool:
        try:
            while True:
                photo = None
                if len(running) < AHEAD * fetcher.manners.connections:
                    photo = again.popleft() if len(again) > OUTAGE else next(photos, None)
                    photo = again.popleft() if photo is None and again else photo
                if photo is not None:
                    running[pool.submit(fetcher.fetch, photo.urls)] = photo
                elif not running:
                    return
                else:
                    for result in _done(running, second):
                        if not result.final:
                            second.add(result.photo.number)
                            again.append(result.photo)
                        yield result
        finally:
            pool.shutdown(cancel_futures=True)


def _done(running: dict[Future[Fetched], PhotoToFetch], second: Container[int]) -> Iterator[FetchResult]:
    """Waits for the next results."""
    for future in wait(running, return_when=FIRST_COMPLETED).done:
        photo, fetched = running.pop(future), future.result()
        yield FetchResult(photo, fetched, final=not fetched.outage or photo.number in second)


def _trusted(results: Iterable[FetchResult], online: Callable[[], bool]) -> Iterator[FetchResult]:
    """Holds back losses that an outage may have caused until a server answers again.

    Raises:
        TrainingStopped: the network is down.
    """
    held: list[FetchResult] = []
    for result in results:
        held.append(result)
        if result.fetched.outage and len(held) < OUTAGE:
            continue
        if result.fetched.outage and not online():
            raise _gone(held)
        yield from held
        held.clear()
    if held and not online():
        raise _gone(held)
    yield from held


def _gone(held: list[FetchResult]) -> TrainingStopped:
    url, reason = held[-1].fetched.failures[-1]
    photos = {result.photo.number for result in held}
    return TrainingStopped(
        f"{len(photos):,} photos in a row could not be reached (last: {printable(url)}, {reason}); "
        "continue with --resume when the network is back"
    )

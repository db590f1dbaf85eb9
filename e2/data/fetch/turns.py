"""Fetches many photos in parallel so that no outage costs any: failures that may pass get a second turn."""

from collections import deque
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Any, NamedTuple

from e2.data.fetch.photos import Fetched, PhotoFetcher
from e2.errors import TrainingStopped, printable

AHEAD = 2  # photos handed to the threads, per connection
OUTAGE = 200  # after so many unreachable photos in a row, suspect the network


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


def fetch_all(
    fetcher: PhotoFetcher, photos: Iterator[PhotoToFetch], one_that_came: Callable[[], Sequence[str] | None]
) -> Iterator[FetchResult]:
    """Yields the final result for each photo, as they complete; few are in flight, so memory stays flat.

    Args:
        fetcher: fetches one.
        photos: those that are wanted, numbered.
        one_that_came: URLs of a photo that was fetched before, to try whether the network is there; None if none was.

    Raises:
        TrainingStopped: the network is down; what was not yielded is still to be fetched.
    """

    def online() -> bool:
        urls = one_that_came()
        return urls is not None and not fetcher.fetch(urls).outage

    return (result for result in _trusted(_in_turns(fetcher, photos), online) if result.final)


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
    return TrainingStopped(
        f"{len(held):,} photos in a row could not be reached (last: {printable(url)}, {reason}); "
        "continue with --resume when the network is back"
    )

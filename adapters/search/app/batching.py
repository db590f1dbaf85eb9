"""Batches requests of many threads to one model: those that arrive while it is busy share its next pass."""

import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

Item = TypeVar("Item")
Answer = TypeVar("Answer")


@dataclass(frozen=True)
class BatchedItem:
    """A waiting item: its function, batch limit, and future answer."""

    run: Callable[[list[Any]], Sequence[Any]]
    most: int
    item: Any
    future: Future = field(default_factory=Future)


class ModelThread:
    """The only thread that runs a model, first come first served.

    Queued items of the same kind are answered in one pass, so a lone request is answered at once, and many in few passes. The
    thread ends with the process.
    """

    def __init__(self):
        self._jobs: deque[BatchedItem] = deque()
        self._changed = threading.Condition()
        threading.Thread(target=self._work, name="model", daemon=True).start()

    def batched(self, run: Callable[[list[Item]], Sequence[Answer]], most: int = 32) -> Callable[[Item], Answer]:
        """Makes a function that asks for single items, from any thread.

        Args:
            run: N items -> N answers.
            most: N, at most.

        Returns:
            item -> answer; raises whatever ``run`` raised for the items of its pass.
        """

        def ask(item: Item) -> Answer:
            job = BatchedItem(run, most, item)
            with self._changed:
                self._jobs.append(job)
                self._changed.notify()
            return job.future.result()

        return ask

    def _work(self) -> None:
        while True:
            jobs = self._next_jobs()
            try:
                answers = jobs[0].run([job.item for job in jobs])
                for job, answer in zip(jobs, answers, strict=True):
                    job.future.set_result(answer)
            except Exception as error:
                for job in jobs:
                    if not job.future.done():
                        job.future.set_exception(error)

    def _next_jobs(self) -> list[BatchedItem]:
        """Takes the oldest job, and those of its kind."""
        with self._changed:
            self._changed.wait_for(lambda: self._jobs)
            first = self._jobs[0]
            taken = [job for job in self._jobs if job.run is first.run][: first.most]
            gone = {id(job) for job in taken}
            self._jobs = deque(job for job in self._jobs if id(job) not in gone)
            return taken


class Remembered(Generic[Item, Answer]):
    """Caches the ``kept`` last used answers; unlike in ``functools.lru_cache``, the key may be a part of the item.

    Args:
        ask: item -> answer.
        key: item -> its key.
        kept: most answers.
    """

    def __init__(self, ask: Callable[[Item], Answer], key: Callable[[Item], Hashable], kept: int):
        self._ask, self._key, self._kept = ask, key, kept
        self._answers: OrderedDict[Hashable, Answer] = OrderedDict()
        self._lock = threading.Lock()

    def __call__(self, item: Item) -> Answer:
        key = self._key(item)
        with self._lock:
            if key in self._answers:
                self._answers.move_to_end(key)
                return self._answers[key]
        answer = self._ask(item)
        with self._lock:
            self._answers[key] = answer
            while len(self._answers) > self._kept:
                self._answers.popitem(last=False)
        return answer

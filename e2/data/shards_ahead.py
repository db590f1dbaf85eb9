"""Fetches shards in the background before they are read."""

import contextlib
import queue
import threading
from collections.abc import Iterator, Sequence
from itertools import chain, islice

import numpy as np

from e2.data.loader import StepSampler
from e2.data.remote_shards import AT_ONCE, RemoteShard
from e2.errors import InputError


class ForeseeingSampler(StepSampler):
    """A `StepSampler` that has shards fetched before their batches come, if there is no room for all of them."""

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        files = [file for portion in self.portions if portion.order for file in portion.order.files]
        if not files:
            yield from super().__iter__()
            return
        wanted: queue.SimpleQueue[RemoteShard | None] = queue.SimpleQueue()
        for _ in range(AT_ONCE):
            threading.Thread(target=_fetch_all, args=(wanted,), daemon=True).start()
        joining, ahead = self._joining(files), -(-self.size // (len(files) * self.batch_size))  # steps that one shard lasts
        try:
            for shard in chain.from_iterable(islice(joining, ahead)):
                wanted.put(shard)
            for batch in super().__iter__():
                for shard in next(joining, ()):
                    wanted.put(shard)
                yield batch
        finally:
            with contextlib.suppress(queue.Empty):
                while True:
                    wanted.get_nowait()
            for _ in range(AT_ONCE):
                wanted.put(None)

    def _joining(self, files: Sequence[RemoteShard]) -> Iterator[list[RemoteShard]]:
        """Shards that each step reads and the one before did not."""
        numbers, first = [], 0
        for portion in self.portions:
            order = portion.order
            numbers.append(np.full(portion.size, -1) if order is None else order.shards + first)
            first += len(order.files) if order else 0
        shard_of, before = np.concatenate(numbers), set[int]()
        for batch in super().__iter__():
            now = {*shard_of[[index for _, index in batch]].tolist()} - {-1}
            yield [files[number] for number in sorted(now - before)]
            before = now


def _fetch_all(wanted: "queue.SimpleQueue[RemoteShard | None]") -> None:
    """Fetches shards; whoever reads one that could not be fetched tries again, and says why."""
    while (shard := wanted.get()) is not None:
        with contextlib.suppress(InputError), shard.opened():
            pass

"""The index that a running app searches: the one that is at its place now."""

import logging
import threading
import time
from collections.abc import Callable

from e2.adapters.encoder import Encoder
from e2.adapters.search.index import ProductIndex, open_index
from e2.errors import InputError

EVERY = 1.0  # seconds between two looks at the place
LOG = logging.getLogger("uvicorn.error")  # the server's own: the command line silences all but its messages


class Unavailable(InputError):
    """There is no index to search for now."""


class LiveIndex:
    """Follows what is written to an index, and opens the one that takes its place. Asked by many threads.

    Args:
        index: as it was opened at the start.
        place: path or URI.
        encoder: that of the app; an index of another one cannot be searched.
        changed: called in a thread of its own after every change.
    """

    def __init__(self, index: ProductIndex, place: str, encoder: Encoder, changed: Callable[[], None]):
        self.place, self.encoder, self._changed = place, encoder, changed
        self._index, self._generation = index, index.generation
        self._problem: str | None = None
        self._looked, self._lock = time.monotonic(), threading.Lock()

    def now(self) -> ProductIndex:
        """The index; what it is may be a second old.

        Raises:
            Unavailable: it is gone, cannot be reached, or was built anew with another encoder.
        """
        with self._lock:
            if time.monotonic() - self._looked > EVERY:
                self._look()
                self._looked = time.monotonic()
            if self._problem:
                raise Unavailable(
                    "the index is not there now, or was built anew with another encoder; the server's log says which"
                )
            return self._index

    def _look(self) -> None:
        try:
            if (generation := self._index.generation) != self._generation:
                if generation.split()[0] != self._generation.split()[0]:  # the former one may be in use: nobody closes it
                    self._index = open_index(self.place, self.encoder)
                    generation = self._index.generation
                self._generation = generation
                threading.Thread(target=self._changed, name="changed index", daemon=True).start()
            self._problem = None
        except InputError as error:  # its text names folders of the server, which do not concern visitors
            if self._problem != str(error):
                LOG.warning("the index cannot be searched now: %s", error)
            self._problem = str(error)

"""The index that a running app searches: the current one at its path."""

import logging
import threading
import time
from collections.abc import Callable

from e2.adapters.encoder import Encoder
from e2.adapters.search.index import ProductIndex, open_index
from e2.errors import InputError

EVERY = 1.0  # seconds between checks of the path
LOG = logging.getLogger("uvicorn.error")  # the server's own logger: the command line silences other messages


TOLD = "the index cannot be searched now: %s"
GONE = "the index is not there now, or was built anew with another encoder; the server's log says which"


class Unavailable(InputError):
    """No index can be searched now."""


class LiveIndex:
    """Follows changes of an index, and opens its replacement. Thread-safe.

    Args:
        index: opened at the start.
        address: path or URI.
        encoder: the app's; an index of another encoder cannot be searched.
        changed: called in a separate thread after every change.
    """

    def __init__(self, index: ProductIndex, address: str, encoder: Encoder, changed: Callable[[], None]):
        self.address, self.encoder, self._changed = address, encoder, changed
        self._index, self._generation = index, index.generation
        self._problem: str | None = None
        self._looked, self._lock = time.monotonic(), threading.Lock()

    def now(self) -> ProductIndex:
        """Returns the index, at most about a second old.

        Raises:
            Unavailable: it is gone, unreachable, or was rebuilt with another encoder.
        """
        with self._lock:
            if time.monotonic() - self._looked > EVERY:
                self._look()
                self._looked = time.monotonic()
            if self._problem:
                raise Unavailable(GONE)
            return self._index

    def _look(self) -> None:
        try:
            if (generation := self._index.generation) != self._generation:
                if generation.split()[0] != self._generation.split()[0]:  # the old one may be in use: do not close it
                    self._index = open_index(self.address, self.encoder)
                    generation = self._index.generation
                self._generation = generation
                threading.Thread(target=self._changed, name="changed index", daemon=True).start()
            self._problem = None
        except InputError as error:  # its text names folders of the server, which visitors should not see
            if self._problem != str(error):
                LOG.warning(TOLD, error)
            self._problem = str(error)

"""Ctrl-C while packages are imported."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

IMPORTING = "<frozen importlib._bootstrap>"  # file of the frames below any import
INTERRUPTED = 130  # status of a process that Ctrl-C has ended


@contextmanager
def imports_end_silently() -> Iterator[None]:
    """Lets Ctrl-C end the process at once where it comes amid an import; elsewhere it raises `KeyboardInterrupt` as ever.

    Packages swallow an exception within their imports or turn it into a fault of theirs: after PyTorch's the command runs on,
    or fails with a traceback. Where Ctrl-C has another handler or is ignored (a script's background), nothing changes.
    """
    main = threading.current_thread() is threading.main_thread()  # no other thread may set handlers
    if not main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    signal.signal(signal.SIGINT, _interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _interrupt(number: int, frame: FrameType | None) -> None:
    current = frame
    while current:
        if current.f_code.co_filename == IMPORTING:
            os._exit(INTERRUPTED)
        current = current.f_back
    signal.default_int_handler(number, frame)

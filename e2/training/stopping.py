"""Stops a long run at the end of a step, never within one."""

import signal
import threading
from collections.abc import Callable


class stop_signals:
    """Turns Ctrl-C and SIGTERM into a flag that the loop checks after each step."""

    def __enter__(self) -> Callable[[], bool]:
        self.raised = False
        main = threading.current_thread() is threading.main_thread()  # no other thread may set handlers
        self.before = {s: signal.signal(s, self._note) for s in (signal.SIGINT, signal.SIGTERM)} if main else {}
        return lambda: self.raised

    def _note(self, signum: int, frame: object) -> None:
        self.raised = True

    def __exit__(self, *exception: object) -> None:
        for number, handler in self.before.items():
            signal.signal(number, handler)

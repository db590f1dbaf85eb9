"""The console script: tells errors in one line.

What takes time to import is imported inside `main`, where Ctrl-C is caught.
"""

import errno
import io
import logging
import os
import shlex
import sys
from typing import TextIO

from e2.errors import InputError, TrainingStopped, first_line
from e2.interrupts import INTERRUPTED, imports_end_silently

WORKER_DIED = "a process that decodes photos died (out of memory?); use fewer --workers (and --resume)"
FOREIGN_FAULTS = {  # words of PyTorch's errors that a user can mend -> what to do
    "DataLoader worker (pid": WORKER_DIED,
    "operator torchvision::": "torchvision is of another build than PyTorch; install the CPU or CUDA builds of both together",
}


def not_written(error: Exception) -> str:
    """Describes what the disk refused, in one line, and what to do when it is full."""
    name = getattr(error, "filename", None)
    place = f": {name}" if name else ""
    said = f"{getattr(error, 'strerror', None) or first_line(error)}{place}"
    return f"{said}; make room, and continue with --resume after training" if os.strerror(errno.ENOSPC) in said else said


def again(command: str) -> str:
    """The command line that continues a stopped job: the one that was given, with ``--resume`` if ``command`` has it."""
    program = f"{sys.executable} -m e2.cli" if sys.argv[0].endswith("cli.py") else shlex.quote(sys.argv[0])
    resume = ["--resume"] if "--resume" in command and "--resume" not in sys.argv else []
    return f"{program} {shlex.join([*sys.argv[1:], *resume])}"


def print_any_name(stream: TextIO) -> None:
    """Lets a stream print what its encoding cannot, such as a file name that is not UTF-8, as ``\\udce9``."""
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors="backslashreplace")


def main() -> None:
    """The console script: mistakes that a user can fix get one line on stderr and no traceback."""
    try:
        with imports_end_silently():
            run()
    except KeyboardInterrupt:  # before the command began, which ends in the same way
        sys.exit(INTERRUPTED)


def run() -> None:
    """Runs the command line, and tells its errors."""
    from safetensors import SafetensorError

    from e2.commands import app

    if int(os.environ.get("RANK", "0")) > 0:  # under accelerate launch only the main process talks
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - open as long as the process lives
    for stream in (sys.stdout, sys.stderr):
        print_any_name(stream)
    logging.getLogger().setLevel(logging.CRITICAL)  # open_clip warns of what is meant here, and logs what it raises
    logging.getLogger().addHandler(logging.NullHandler())  # else its first message makes the hub print each of its own twice
    try:
        app()
    except InputError as error:
        print(f"e2: {error}", file=sys.stderr)
        sys.exit(2)
    except TrainingStopped as stop:
        print(f"e2: {stop.reason}; continue with {again(stop.command)}" if stop.command else f"e2: {stop}", file=sys.stderr)
        sys.exit(1)
    except (RuntimeError, ConnectionResetError) as error:  # the latter when the process died while it handed over a photo
        known = [message for words, message in FOREIGN_FAULTS.items() if words in str(error)]
        if isinstance(error, RuntimeError) and not known:
            raise  # a fault of ours, which a traceback helps to fix
        print(f"e2: {[*known, WORKER_DIED][0]}", file=sys.stderr)
        sys.exit(1)
    except (OSError, SafetensorError) as error:  # the latter when weights cannot be written
        print(f"e2: {not_written(error)}", file=sys.stderr)
        sys.exit(2 if getattr(error, "errno", None) == errno.ENAMETOOLONG else 1)


if __name__ == "__main__":
    main()

"""Says what a cache will take before it is written."""

import math
import shutil
from pathlib import Path

from e2.errors import InputError
from e2.notes import say


def announce(what: str, size: int, root: Path, seconds: float) -> None:
    """Says how large the rows of ``what`` will be in the folder ``root``, and how long the frozen layers take.

    Raises:
        InputError: the disk cannot hold them.
    """
    free, needs = shutil.disk_usage(root).free, f"{what} through the frozen layers, {human_size(size)} in {root}"
    if size > free:
        raise InputError(f"--cache: {needs}, which has room for {human_size(free)}; name another folder")
    say(f"cache: {needs}, about {math.ceil(seconds / 60):,} min")


def human_size(size: int) -> str:
    """Bytes as MB or GB."""
    return f"{size / 1e9:,.1f} GB" if size >= 1e9 else f"{math.ceil(size / 1e6)} MB"

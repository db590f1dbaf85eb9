"""Record of a speed measurement: numbers, settings and machine."""

import os
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from e2.benchmarks.speed.registry import defaults
from e2.settings import flattened
from e2.version import __version__

JOINT = "_"  # of the names of nested results: ``table_waiting``


def measure(name: str, run: Callable[..., dict[str, Any]], options: dict[str, Any]) -> dict[str, Any]:
    """Runs a measurement and builds the record of ``metrics.json``, with non-numbers in ``details``."""
    start = time.perf_counter()
    found = run(**options)
    settings = {**defaults(run), **options}
    numbers = {key: value for key, value in flattened(found, JOINT).items() if key not in settings}
    return {
        "benchmark": "speed",
        "protocol": name,
        "metrics": {key: value for key, value in numbers.items() if isinstance(value, (int, float))},
        "details": {key: value for key, value in numbers.items() if not isinstance(value, (int, float))},
        "settings": settings,
        "machine": machine(),
        "seconds": round(time.perf_counter() - start, 3),
        "version": __version__,
    }


def machine() -> dict[str, Any]:
    """Describes the machine."""
    return {
        "processor": processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "load": round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None,  # other programs disturb the times
        "torch": torch.__version__,
        "python": platform.python_version(),
        "system": platform.system(),
    }


def processor() -> str:
    """Name of the processor, if the system tells."""
    facts = Path("/proc/cpuinfo")
    lines = facts.read_text().splitlines() if facts.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()

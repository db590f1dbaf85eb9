"""Times two implementations in turn, and measures peak memory in separate processes.

Machines are noisy and differ, so ratios of side-by-side measurements say more than absolute times.
"""

import multiprocessing
import resource
import statistics
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch.nn import functional as F

from e2.extras import extra

Answer = TypeVar("Answer")


def compare(
    ours: Callable[[], Any], reference: Callable[[], Any], repeats: int = 5, *, warm_up: bool = True
) -> dict[str, float]:
    """Runs both once to warm up, then ``repeats`` times in turn (ours, reference, ours, ...).

    Without ``warm_up`` the first round counts as well, for slow functions.

    Returns:
        ``ratio``: median over the rounds of our time / reference time; ``ratio_min``, ``ratio_max``: its extremes;
        ``ours_s``, ``reference_s``: median seconds of each.
    """
    if warm_up:
        ours(), reference()
    pairs = [(seconds(ours), seconds(reference)) for _ in range(repeats)]
    ratios = [a / b for a, b in pairs]
    return {
        "ratio": statistics.median(ratios),
        "ratio_min": min(ratios),
        "ratio_max": max(ratios),
        "ours_s": statistics.median(a for a, _ in pairs),
        "reference_s": statistics.median(b for _, b in pairs),
    }


def seconds(function: Callable[[], Any]) -> float:
    """Measures the wall time of one call."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def one_by_one(ask: Callable[[Any], Answer], queries: Iterable[Any]) -> tuple[dict[str, float], list[Answer]]:
    """Asks one query after another, as users do: ``p50_ms``, ``p95_ms`` and ``p99_ms`` of the times, and the answers."""
    times, answers = [], []
    for query in queries:
        start = time.perf_counter()
        answers.append(ask(query))
        times.append(time.perf_counter() - start)
    p50, p95, p99 = 1000 * np.percentile(times, [50, 95, 99])
    return {"p50_ms": float(p50), "p95_ms": float(p95), "p99_ms": float(p99)}, answers


def use_threads(threads: int) -> None:
    """Sets how many threads PyTorch and FAISS compute with."""
    with extra("search", "this measurement"):
        import faiss
    torch.set_num_threads(threads)
    faiss.omp_set_num_threads(threads)


def random_unit(rows: int, width: int, half: bool = False) -> torch.Tensor:
    """Makes (rows, width) unit vectors, in parts so that making them does not set the peak."""
    table = torch.empty(rows, width, dtype=torch.float16 if half else torch.float32)
    for part in table.split(8192):
        part.copy_(F.normalize(torch.randn(part.shape), dim=-1))
    return table


def work_on_features(work: Callable[..., Any], images: int, texts: int, width: int, threads: int) -> None:
    """Makes random features of images and texts and works on them: for `peak_memory`."""
    torch.set_num_threads(threads)
    work(random_unit(images, width), random_unit(texts, width))


def nothing(images: torch.Tensor, texts: torch.Tensor) -> None:
    """Does nothing with the features: their own memory."""


def peak_memory(function: Callable[..., Any], *arguments: Any) -> int:
    """Measures peak resident bytes of a fresh process that calls ``function(*arguments)`` (a module-level function).

    Raises:
        RuntimeError: the process died.
    """
    context = multiprocessing.get_context("spawn")  # a fork would inherit the parent's peak
    receive, send = context.Pipe(duplex=False)
    process = context.Process(target=_report_peak, args=(send, function, arguments))
    process.start()
    send.close()
    try:
        return receive.recv()
    except EOFError as error:
        raise RuntimeError(f"{function.__name__} died while its memory was measured") from error
    finally:
        process.join()


def _report_peak(send: Any, function: Callable[..., Any], arguments: tuple) -> None:
    function(*arguments)
    send.send(_own_peak())


def _own_peak() -> int:
    """Peak resident bytes of this process. Linux's ``ru_maxrss`` would include its parent's memory at the start."""
    status = Path("/proc/self/status")
    if status.is_file():
        (line,) = (line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # macOS counts bytes, others kilobytes

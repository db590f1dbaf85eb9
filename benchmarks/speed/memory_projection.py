"""Measures peak memory and time of DeCap's projection against the plain product, for `e2 speed memory-projection`."""

from typing import Any

import torch
from torch.nn import functional as F

from e2.adapters.captioning.memory import project
from e2.benchmarks.speed.harness import peak_memory, random_unit, seconds


def run(
    *, entries: int = 500_000, images: int = 1000, width: int = 512, half: bool = False, plain: bool = False
) -> dict[str, Any]:
    """Measures peak bytes of a fresh process that projects.

    Args:
        entries: rows of the memory.
        half: keep the memory in float16.
        plain: also measure plain softmax(images @ memory.T) @ memory, which holds images x entries numbers.

    Returns:
        ``peak_bytes``, ``peak_gb`` and ``seconds`` (of a twentieth of the images, in this process, scaled); with ``plain``
        ``reference_peak_bytes`` too.
    """
    found: dict[str, float] = {"peak_bytes": peak_memory(project_random, entries, images, width, half, False)}
    found["peak_gb"] = found["peak_bytes"] / 1e9
    if plain:
        found["reference_peak_bytes"] = peak_memory(project_random, entries, images, width, half, True)
    vectors, memory = random_unit(max(1, images // 20), width), random_unit(entries, width, half)
    found["seconds"] = 20 * seconds(lambda: project(vectors, memory))
    return found


def project_random(entries: int, images: int, width: int, half: bool, plain: bool) -> None:
    """Projects random images onto a random memory."""
    torch.set_num_threads(1)
    vectors, memory = random_unit(images, width), random_unit(entries, width, half)
    if plain:
        F.normalize((100 * vectors @ memory.float().T).softmax(dim=1) @ memory.float(), dim=-1)
    else:
        project(vectors, memory)

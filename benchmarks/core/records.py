"""Record ``metrics.json`` of every evaluation, with full provenance."""

from typing import Any, Protocol

import numpy as np

from e2.finite import require_finite
from e2.version import __version__

NAME = "metrics.json"


class MeasuredData(Protocol):
    """Data of a result: a split of a catalogue, or a task drawn from one."""

    @property
    def name(self) -> str: ...

    @property
    def split(self) -> str: ...

    def __len__(self) -> int: ...


def metrics_record(
    benchmark: str,
    protocol: str,
    catalogue: MeasuredData,
    *,
    text: str,
    seed: int,
    model: dict[str, Any],
    metrics: dict[str, float],
    ci95: dict[str, tuple[float, float]],
    seconds: float,
    **further: Any,
) -> dict[str, Any]:
    """Builds the record, ``n`` in products; ``further`` facts follow the fixed keys.

    Raises:
        NotFinite: a metric is NaN or infinite.
    """
    require_finite(np.array(list(metrics.values())), "metrics")
    return {
        "benchmark": benchmark,
        "protocol": protocol,
        "dataset": catalogue.name,
        "split": catalogue.split,
        "text": text,
        "n": len(catalogue),
        "seed": seed,
        "model": model,
        "metrics": metrics,
        "ci95": {name: list(bounds) for name, bounds in ci95.items()},
        "seconds": round(seconds, 3),
        "version": __version__,
        **further,
    }

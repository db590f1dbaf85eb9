"""Study `controls`: selection taught by tags against its parts, at equal parameters."""

from typing import Any

from e2.benchmarks.studies.base import Context, Variant, methods
from e2.benchmarks.studies.retrieval import all_protocols
from e2.benchmarks.studies.trained import TrainedStudy

POOLED = ("clip-pooled", "multifield-pooled")
UNIFORM: dict[str, Any] = {"model.selector": "uniform"}


def variants(context: Context) -> list[Variant]:
    """``e2`` against the plain methods, and against the same parameters without its supervision or without a choice."""
    plain = methods("clip", "multifield")
    pooled = [Variant(name, {"method": name}, against=(name.removesuffix("-pooled"),)) for name in POOLED]
    uniform = [Variant(f"{name}-uniform", {"method": name, **UNIFORM}, against=(name,)) for name in POOLED]
    controls = [*plain, *pooled, *uniform]
    return [*controls, Variant("e2", {"method": "e2"}, against=tuple(control.label for control in controls))]


STUDY = TrainedStudy(
    name="controls",
    title="Selection, or parameters and a second look",
    question="Does selection taught by tags help, or do its parameters and features help whatever teaches them?",
    variants=variants,
    measure=all_protocols,
)

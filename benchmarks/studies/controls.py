"""Study `controls`: selection taught by tags against its parts, at equal parameters and at equal compute."""

from typing import Any

from e2.benchmarks.studies.base import Context, Variant, methods
from e2.benchmarks.studies.retrieval import all_protocols
from e2.benchmarks.studies.trained import TrainedStudy
from e2.config import EPOCHS
from e2.defaults import complete_loss

POOLED = ("clip-pooled", "multifield-pooled")
UNIFORM: dict[str, Any] = {"model.selector": "uniform"}
SAME_WEIGHT = "multifield-pooled-same-weight"


def variants(context: Context) -> list[Variant]:
    """``e2`` against the plain methods, and against the same parameters without its supervision or without a choice.

    The plain methods are also trained ``context.longer`` times as long, for about the compute of ``e2`` or more. Where ``e2``
    contrasts tags twice, with regions and images, a further control contrasts them once with the weight of both.
    """
    plain = methods("clip", "multifield")
    longer = [Variant(f"{one.label}-longer", {**one.settings, **_longer(context)}, against=(one.label,)) for one in plain]
    pooled = [Variant(name, {"method": name}, against=(name.removesuffix("-pooled"),)) for name in POOLED]
    uniform = [Variant(f"{name}-uniform", {"method": name, **UNIFORM}, against=(name,)) for name in POOLED]
    controls = [*plain, *longer, *pooled, *_same_weight(context), *uniform]
    return [*controls, Variant("e2", {"method": "e2"}, against=tuple(control.label for control in controls))]


def _longer(context: Context) -> dict[str, float]:
    common, times = context.common, context.longer
    return {"steps": round(common.steps * times)} if common.steps else {"epochs": (common.epochs or EPOCHS) * times}


def _same_weight(context: Context) -> list[Variant]:
    loss = complete_loss(context.common.loss, context.common.starts_pretrained)
    if not loss.image_tag_weight:
        return []
    settings = {"method": POOLED[-1], "loss.region_weight": (loss.region_weight or 0.0) + loss.image_tag_weight}
    return [Variant(SAME_WEIGHT, settings, against=POOLED[-1:])]


STUDY = TrainedStudy(
    name="controls",
    title="Selection, or parameters, compute and a second look",
    question="Does selection taught by tags help, or do its parameters, compute and features help whatever teaches them?",
    variants=variants,
    measure=all_protocols,
)

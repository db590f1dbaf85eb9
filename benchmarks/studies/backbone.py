"""Study `backbone`: the methods on smaller and larger towers."""

from functools import partial

from e2.benchmarks.studies.base import Context, Variant, every_method_at
from e2.benchmarks.studies.lines import draw_lines
from e2.benchmarks.studies.trained import TrainedStudy
from e2.config import TrainConfig

OURS = ("e2-nano", "e2-tiny", "e2-small")


def variants(context: Context) -> list[Variant]:
    """Every method on every backbone of ``--backbone a,b,c``, or else ours; each against those before it on the same one."""
    asked = context.common.backbone
    names = OURS if asked == TrainConfig.backbone else asked.split(",")
    return [variant for name in names for variant in every_method_at(name, {"backbone": name})]


STUDY = TrainedStudy(
    name="backbone",
    title="Backbones",
    question="Does the gain hold on larger backbones?",
    variants=variants,
    figure=partial(draw_lines, over="parameters", label="parameters of the backbone"),
)

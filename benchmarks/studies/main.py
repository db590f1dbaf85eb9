"""Study `main`: the methods at equal budget, on every protocol."""

from typing import Any

from e2.benchmarks.studies.base import Context, Variant, methods
from e2.benchmarks.studies.retrieval import all_protocols
from e2.benchmarks.studies.trained import TrainedStudy
from e2.training.presets import preset


def variants(context: Context) -> list[Variant]:
    """Every method against plain contrastive training; methods with tokens also against the control without."""
    plain = methods("clip", "filip", "clip-lite", "ei-clip", "multifield", "e2")
    return [*plain, Variant("e2-paper", paper_settings(context), against=("clip", "multifield", "e2"))]


def paper_settings(context: Context) -> dict[str, Any]:
    """The published layout and losses at the study's budget, text and batch size.

    The published learning rates and first stage are for pre-trained weights; from random ones they would leave the backbone
    untrained, so there the rates are those of the other variants.
    """
    parts = ["model", "loss", *(["optim"] if context.common.pretrained else [])]
    settings = {f"{part}.{name}": value for part in parts for name, value in dict(preset("paper")[part]).items()}
    return {"method": "e2", **settings}


STUDY = TrainedStudy(
    name="main",
    title="Methods at equal budget",
    question="What do tag supervision and selection tokens bring to retrieval over plain contrastive training?",
    variants=variants,
    measure=all_protocols,
)

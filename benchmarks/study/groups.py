"""`groups`: each entity's tokens and loss left out in turn, and all of them (the ablation of the paper's table 8)."""

from benchmarks.study.base import Context, Variant
from benchmarks.study.trained import TrainedStudy
from e2.errors import InputError


def variants(context: Context) -> list[Variant]:
    """``e2`` with all entities; without each one; with none, which is plain contrastive training.

    Raises:
        InputError: fewer than two entities, of which none can be left out.
    """
    entities = context.entities
    if len(entities) < 2:
        raise InputError("the study leaves one entity out at a time: name two or more by --tags, e.g. --tags brand,season")
    left_out = [
        Variant(f"without-{entity}", {"method": "e2", "data.tags": [e for e in entities if e != entity]}, against=("e2",))
        for entity in entities
    ]
    return [Variant("e2", {"method": "e2"}), *left_out, Variant("none", {"method": "clip"}, against=("e2",))]


STUDY = TrainedStudy(
    name="groups",
    title="Leaving one entity out",
    question="Which entity's selection tokens help retrieval, and how much is lost without them?",
    variants=variants,
)
